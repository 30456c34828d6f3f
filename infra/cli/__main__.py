"""Entry point of ``python -m infra.cli``, the same as ``understudy``."""

from __future__ import annotations

from infra.cli import main

main()
