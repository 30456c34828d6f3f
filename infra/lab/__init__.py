"""Laboratory: training of the models, benchmarks, generated docs, demo."""
