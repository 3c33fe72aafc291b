"""What is told of a running server: the audit, the metrics and the pages that show them."""
