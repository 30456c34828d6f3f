"""How is the small model made that the demo runs with?

Synthetic documents from grammars of ours, a byte-level tokenizer and a small Qwen2 decoder:
``python -m infra.lab.house_model build`` makes all of it again.
"""
