"""Telemetry: the catalogue of events, log lines and metrics."""
