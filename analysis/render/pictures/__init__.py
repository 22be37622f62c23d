"""Matplotlib figures, made without pyplot, so that no global state is touched; they can be told apart without colour."""
