"""Contracts: what the parts of Understudy agree on."""
