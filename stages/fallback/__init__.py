"""Fallback stage: the answer to a request whose generation failed."""
