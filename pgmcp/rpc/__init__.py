"""JSON-RPC 2.0 and JSON Schema as pure functions: bytes in, values out, no I/O."""
