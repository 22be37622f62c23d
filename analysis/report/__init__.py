"""What `describe`, `compare` and `evolve` return, and how it comes about."""
