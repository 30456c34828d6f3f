"""Extensions: what other installed packages add to the pipeline."""
