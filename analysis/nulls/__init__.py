"""Null models: random layers and networks that keep what they promise, and the ring lattice."""
