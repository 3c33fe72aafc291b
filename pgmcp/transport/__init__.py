"""How bytes arrive: stdin and stdout, or HTTP with optional TLS."""
