"""PostgreSQL: one driver, bounded pools, read-only calls and the catalogue."""
