"""What does ``python -m infra.cli`` do?  The same as ``understudy``."""

from __future__ import annotations

from infra.cli import main

main()
