"""What does a listing look like on a narrow terminal, and in a file?"""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.text import Text

from infra.cli import console

LINE = "sample_layout  sfw  a level of three jumps and a coin, 0123456789012345678901234567890123456789"


@pytest.mark.parametrize(
    ("terminal", "printed"),
    [
        (False, f"{LINE}\n"),
        (
            True,
            (
                "sample_layout  sfw  a level of three\n"
                "    jumps and a coin,\n"
                "    012345678901234567890123456789012345\n"
                "    6789\n"
            ),
        ),
    ],
)
def test_a_line_is_broken_between_words_on_a_terminal_alone(monkeypatch, capsys, terminal, printed) -> None:
    monkeypatch.setattr(
        console, "people", lambda: Console(force_terminal=terminal, width=40, color_system=None)
    )
    console.listed([Text(LINE)])
    assert capsys.readouterr().out == printed
