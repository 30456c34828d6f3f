"""Narrowing of a JSON Schema to what a grammar enforces: one flat schema for each place of a document."""
