"""How we know: run `pytest` in the repository's root."""
