"""Errors, quantities, and checks of arguments."""
