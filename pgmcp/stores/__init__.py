"""Where tokens, users, sessions and counts are kept: files and memory, behind the ports of auth."""
