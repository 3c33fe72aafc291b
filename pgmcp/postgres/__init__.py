"""PostgreSQL: finding a server, connecting, and the messages of its protocol."""
