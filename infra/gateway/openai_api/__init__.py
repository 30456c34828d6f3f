"""OpenAI's API in front of the pipeline: chat completions, stateless responses, and the list of models."""
