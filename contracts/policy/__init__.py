"""Rules on top of a node: ratings, relationships, budgets, seeds, cache keys, prompts."""
