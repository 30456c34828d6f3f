"""Does the page about own schemas name what is checked?"""

from __future__ import annotations

import re
from pathlib import Path

from contracts.content import custom, keywords, subschemas
from contracts.content.formats import FORMATS, NUMBERS

PAGE = (Path(__file__).parents[2] / "docs" / "custom.md").read_text(encoding="utf-8")


def test_every_checked_format_is_in_the_table() -> None:
    table = PAGE.partition("## Formats")[2].partition("## Regular")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`([\w-]+)`", "".join(rows))) == {*FORMATS, *NUMBERS}


def test_the_bounds_are_those_of_the_code() -> None:
    for bound in (subschemas.MAX_NODES, keywords.MAX_VALUES, keywords.MAX_LENGTH, custom.MAX_CHECKS):
        assert f"{bound:,}" in PAGE
