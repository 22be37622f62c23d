"""Bipartite layers and stacks of them, arrays, neighbours, and the intake of what a user holds."""
