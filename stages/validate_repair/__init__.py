"""Validate-repair: the document is checked, repaired, or returned with its errors."""
