"""Laboratory: training of the house model, benchmarks, generated docs, demo."""
