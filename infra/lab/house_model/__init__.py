"""House model: the small model of the demo, its data and its training.

Synthetic documents from grammars of ours, a byte-level tokenizer and a small Qwen2 decoder:
``python -m infra.lab.house_model build`` makes all of it again.
"""
