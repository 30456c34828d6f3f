"""Structuring: the draft becomes a JSON document."""
