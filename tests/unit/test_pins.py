"""Installed versions of what the trap tests were last tried with."""

from __future__ import annotations

from importlib import metadata

from tests.broker.trapped import TRIED


def test_the_traps_were_tried_with_the_versions_that_are_installed() -> None:
    installed = {name: metadata.version(name) for name in TRIED}
    assert installed == TRIED, (
        "run `just test-traps`: it shows which traps of the stock subscriber these versions still have; "
        "then put them into TRIED in tests/broker/trapped.py"
    )
