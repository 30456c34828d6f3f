"""Audit: the record that the log gives of each request."""
