"""Sense of a document: cheap measures of its visible texts, without a model."""
