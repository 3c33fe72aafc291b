"""The log: its lines, and the thread that writes them."""
