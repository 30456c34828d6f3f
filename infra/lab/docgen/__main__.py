"""Command that writes or checks the generated pages.

``python -m infra.lab.docgen`` writes them, and with the document of the HTTP API its types for TypeScript;
``python -m infra.lab.docgen --check`` exits 1 and prints the difference.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from infra.lab.docgen import (
    alerts,
    asyncapi,
    benchmarks,
    client_models,
    commands,
    dashboards,
    grafana,
    keywords,
    metrics,
    nodes,
    openapi,
    roles,
    settings,
    subjects,
    telemetry,
    templates,
    typescript,
    validation,
)
from infra.lab.docgen.deploy import compose, kubernetes, systemd

ROOT: Final = Path(__file__).resolve().parents[3]

#: Page below the project's root, and what writes it.
PAGES: Final[dict[str, Callable[[], str]]] = {
    "docs/subjects.md": subjects.page,
    "docs/roles.md": roles.page,
    "docs/asyncapi.json": asyncapi.page,
    "docs/schemas/openapi.json": openapi.page,
    "docs/settings.md": settings.page,
    "docs/commands.md": commands.page,
    "docs/keywords.md": keywords.page,
    "docs/nodes.md": nodes.page,
    "docs/schemas/node.schema.json": nodes.schema,
    "docs/templates.md": templates.page,
    "docs/validation.md": validation.page,
    "docs/log.md": telemetry.page,
    "docs/metrics.md": metrics.page,
    "docs/benchmarks.md": benchmarks.render,
    **{f"infra/deploy/grafana/{each.uid}.json": partial(grafana.text, each) for each in dashboards.EVERY},
    "infra/deploy/prometheus/alerts.yml": alerts.text,
    "infra/deploy/prometheus/prometheus.yml": alerts.scrape_text,
    "infra/deploy/compose/compose.yaml": compose.compose_text,
    "infra/deploy/compose/prometheus.yml": compose.prometheus_text,
    **{f"infra/deploy/kubernetes/{each}": partial(kubernetes.text, each) for each in kubernetes.FILES},
    "infra/deploy/systemd/understudy.target": systemd.target_text,
    "config.yaml.example": settings.example,
    "infra/client/understudy_client/models.py": client_models.module,
}

_USAGE: Final = "usage: python -m infra.lab.docgen [--check]"


def stale(root: Path = ROOT) -> str:
    """The difference between the pages below ``root`` and what the code says, as a unified diff."""
    found: list[str] = []
    for name, write in PAGES.items():
        path = root / name
        had = path.read_text(encoding="utf-8") if path.is_file() else ""
        found += difflib.unified_diff(
            had.splitlines(keepends=True), write().splitlines(keepends=True), name, f"{name} (generated)"
        )
    return "".join(found)


def write(root: Path = ROOT) -> tuple[str, ...]:
    """Write every page that differs; which ones did."""
    written: list[str] = []
    for name, make in PAGES.items():
        path = root / name
        text = make()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(name)
    return tuple(written)


def main(arguments: list[str]) -> int:
    """Do what the arguments say; the exit status."""
    match arguments:
        case []:
            for name in write():
                sys.stdout.write(f"wrote {name}\n")
            return typescript.main([]) if typescript.are_stale() else 0
        case ["--check"]:
            difference = stale()
            if not difference and not typescript.are_stale():
                return 0
            sys.stdout.write(difference or "docs/schemas/openapi.d.ts is of another document\n")
            sys.stderr.write("generated docs are stale; write them with `python -m infra.lab.docgen`\n")
            return 1
        case _:
            sys.stderr.write(f"{_USAGE}\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
