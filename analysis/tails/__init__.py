"""Power-law statistics of degree sequences; no graphs in here."""
