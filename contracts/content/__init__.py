"""Content kinds, their documents, and documents under a request's own JSON Schema."""
