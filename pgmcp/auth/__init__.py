"""Who may come in: tokens, users, sessions, limits and the authenticator that asks them."""
