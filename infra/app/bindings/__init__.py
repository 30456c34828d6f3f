"""One module for each stage: its handler, bound to its ports.

A process imports those of the stages that it runs: what the others need is half of the time of a start.
"""
