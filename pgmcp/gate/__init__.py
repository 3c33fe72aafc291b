"""What may run: PostgreSQL's own grammar and analysis of a statement, judged before it runs."""
