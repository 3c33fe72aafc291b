"""One port served by several processes: their parent, and what it keeps for them."""
