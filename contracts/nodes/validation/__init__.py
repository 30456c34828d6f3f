"""Validation of a node: checks with codes, paths and suggestions."""

from contracts.nodes.validation.check import Facts, Finding, Report, Severity
from contracts.nodes.validation.validate import Examined, examine, validate

__all__ = ["Examined", "Facts", "Finding", "Report", "Severity", "examine", "validate"]
