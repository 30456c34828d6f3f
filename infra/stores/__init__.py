"""Stores: audit database, result cache, assets, drift ledger, and files that people write."""
