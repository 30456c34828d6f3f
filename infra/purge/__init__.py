"""Removal of a person's data from everything that stores it."""
