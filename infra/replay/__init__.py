"""Replays of dead letters, and the marks that prove them."""
