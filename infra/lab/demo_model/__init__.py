"""The demo's model: SmolLM2-135M-Instruct with a low-rank adapter, its data, training and evaluation."""
