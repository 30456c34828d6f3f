"""Generated documentation: the pages under docs/ that come from the code."""
