"""What the one file holds beside pgmcp and its packages: how it starts and finds modules."""
