"""The network: sockets with deadlines, addresses, and the hook that refuses other connections."""
