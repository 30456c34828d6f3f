"""Command line."""

from __future__ import annotations

import gc
import sys
from typing import Final

#: New objects between two runs of the garbage collector, and runs between two that visit older objects.  There are
#: hardly any cycles; with Python's own 700 the collector takes an eighth of a start, and a fifth of the time of a
#: stage under load.
_COLLECT: Final = (50_000, 20, 100)


def main() -> None:
    """Run ``understudy`` and exit."""
    gc.set_threshold(*_COLLECT)
    from infra.cli.app import app
    from infra.cli.console import guarded

    sys.exit(guarded(app))
