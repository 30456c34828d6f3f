"""Stages of the pipeline, one folder each; ``handle.py`` is the whole decision."""
