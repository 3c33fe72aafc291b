"""pgmcp: a PostgreSQL server for the Model Context Protocol with authentication of its own."""

__version__ = "0.1.0"
