"""Providers: what answers a prompt, and what is around each of them."""
