"""Command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``understudy`` and exit."""
    from infra.cli.app import app
    from infra.cli.console import guarded

    sys.exit(guarded(app))
