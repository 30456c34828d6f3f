"""Context-build: a request becomes a brief, or is answered from the cache."""
