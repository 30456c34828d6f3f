"""Freeform-gen: the provider writes a prose draft."""
