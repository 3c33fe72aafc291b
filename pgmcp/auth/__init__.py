"""Who may come in: tokens, users, sessions, limits and the gate that asks them."""
