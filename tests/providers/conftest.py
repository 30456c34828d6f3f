"""Which tests of providers were left out of this run?"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.plain_numbers import _float32  # noqa: F401 - a fixture for all tests of this folder

_LEFT_OUT: list[str] = []


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    _LEFT_OUT.extend(item.nodeid for item in items if item.get_closest_marker("real_server"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _LEFT_OUT and not config.getoption("keyword"):
        terminalreporter.write_line(
            f"{len(_LEFT_OUT)} tests against real inference servers were left out: `just test-servers` runs them",
            yellow=True,
        )
