"""A language model that is asked for SQL, where the operator configured one."""
