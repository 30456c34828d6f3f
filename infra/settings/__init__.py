"""Settings: their names, defaults, file and environment."""
