"""Connections: bounded pools, and the total that they share."""
