"""Reports: what `describe`, `compare` and `evolve` return."""
