"""The tables as a principal sees them: read from PostgreSQL, kept, and looked up by name."""
