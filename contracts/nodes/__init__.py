"""Node configuration: what a designer may ask of a generation node."""
