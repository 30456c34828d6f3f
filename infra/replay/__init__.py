"""Replays of dead letters and past requests as jobs, and the marks that prove them."""
