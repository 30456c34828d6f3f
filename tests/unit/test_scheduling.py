"""Groups of tests that stay on one worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import conftest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("node", "group"),
    [
        ("tests/unit/test_twice.py::test_a[one@two]", "tests/unit/test_twice.py"),
        ("tests/pipeline/supervisor/test_stop.py::test_a", "tests/pipeline/supervisor/test_stop.py"),
        ("tests/engine/test_bench.py::test_a[x]", "engine"),
        ("tests/pipeline/test_cli.py::test_a", "command line"),
        ("tests/pipeline/test_cli_replays.py::test_a", "command line"),
    ],
)
def test_a_file_or_what_it_shares_is_a_group(node: str, group: str) -> None:
    assert conftest.group_of(node) == group


def test_every_group_has_its_files() -> None:
    assert [start for start in conftest.GROUPS if not (ROOT / start).exists()] == []
