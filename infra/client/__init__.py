"""Client of the pipeline."""
