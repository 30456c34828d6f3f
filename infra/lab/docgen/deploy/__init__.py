"""Files of infra/deploy that depend on the stages, their consumers and their settings."""
