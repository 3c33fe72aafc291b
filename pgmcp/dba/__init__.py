"""Reasoning of a database administrator: plans and what stands out in them."""
