"""Every claim with its rule, and acceptance.json, which says what became of it."""
