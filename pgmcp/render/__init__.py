"""Results as text: rows as TSV, and a schema in as much detail as fits."""
