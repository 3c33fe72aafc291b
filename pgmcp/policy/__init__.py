"""What a principal may read: pure decisions on what PostgreSQL says that a statement uses."""
