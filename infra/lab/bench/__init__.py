"""Benchmarks: speed, memory and robustness, beside a hand-written loop."""
