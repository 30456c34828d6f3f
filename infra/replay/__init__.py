"""Replays: requests made again from dead letters."""
