"""The page of keywords: every keyword has a probe, and no probe shows a constraint that nobody enforces."""

from __future__ import annotations

import pytest

from contracts.content import keywords
from infra.lab.docgen.keywords import PROBES, measure


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: f"{probe.keyword} {probe.when}")
def test_a_keyword_is_enforced_or_checked_with_a_warning_or_asks_nothing(probe) -> None:
    found = measure(probe)
    assert found.name != "fault"
    assert found.written[0] or found.name == "annotation"
    assert found.checked[0]


def test_every_keyword_has_a_probe() -> None:
    assert {probe.keyword for probe in PROBES} >= keywords.KNOWN
