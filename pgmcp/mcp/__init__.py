"""The Model Context Protocol: features, their registry, and both eras of the protocol."""
