"""Local inference engine: one model, many requests in one batch."""
