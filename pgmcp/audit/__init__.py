"""The audit: one chained record for each call, and its verification."""
