"""Measures of layers and networks, one per file; `registry` lists them."""
