"""What the operator asked for: typed values, each of which knows where it came from."""
