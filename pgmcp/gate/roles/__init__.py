"""The role that a database is read as: what it could do, what it needs, and whether it is safe.

`powers` asks what a role could do beyond reading, in the SQL of `power_queries`; `reader_role`
makes a role that can only read; `safe_role` refuses any other where the configuration says so.
"""
