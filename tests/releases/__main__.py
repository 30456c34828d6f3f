"""Record what this version reads: ``python -m tests.releases NAME`` at every release, into ``NAME.json`` beside this file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec

from contracts import pipeline


def readers() -> dict[str, object]:
    """For each event: its version, and the JSON Schema of what its reader takes."""
    return {
        row.event: {"version": row.body.version, "schema": msgspec.json.schema(row.body)}
        for row in pipeline.ROWS
        if row.body is not None
    }


if __name__ == "__main__":
    (name,) = sys.argv[1:]
    target = Path(__file__).with_name(f"{name}.json")
    target.write_text(json.dumps(readers(), sort_keys=True, separators=(",", ":")) + "\n", encoding="utf-8")
