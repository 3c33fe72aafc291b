"""The self-test: attempts to do more than read, and a second connection that looks on.

The rule: nothing here is trusted to be stopped. An attempt names only what does not exist, or what
would be seen and does no harm if every protection failed.
"""
