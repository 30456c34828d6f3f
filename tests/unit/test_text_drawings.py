"""Text drawings of contents: within the terminal's width, clean, bounded, and with their source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from rich.cells import cell_len

from infra.pictures.label import label_sample
from infra.pictures.text import draw_text
from infra.pictures.text_sheet import MOST_LINES
from infra.pictures.text_time import draw_curve
from infra.settings import shipped
from tests.unit.kind_documents import documents

KINDS = ("layout", "plot", "scene", "dialogue", "transition")
#: A title sequence, a bell, a text that runs to the left, an invisible character.
HOSTILE = "\x1b]0;mine\x07 \u202eleft \u200bnone \x9b31m"


@pytest.mark.parametrize(
    "file",
    sorted(file for kind in KINDS for file in shipped.SAMPLES.glob(f"sample_{kind}_*.json")),
    ids=lambda file: file.stem,
)
@pytest.mark.parametrize("plain", [False, True])
def test_every_sample_is_drawn_at_eighty_columns(file: Path, *, plain: bool) -> None:
    kind = file.stem.split("_")[1]
    content = json.loads(file.read_text(encoding="utf-8"))
    lines = draw_text(kind, content, label=label_sample(file.name), width=79, plain=plain)
    assert lines[0] == kind + f"golden sample {file.name}".rjust(79 - len(kind))
    assert 8 < len(lines) < 120
    assert max(map(cell_len, lines)) <= 79
    assert not plain or all(line.isascii() for line in lines)
    title = content.get("title") or content.get("scene_name")
    assert plain or title is None or lines[1] == title


@pytest.mark.parametrize("kind", KINDS)
def test_any_document_has_a_clean_and_bounded_drawing(kind: str) -> None:
    @given(documents(kind))
    def check(content: object) -> None:
        lines = draw_text(kind, content, width=60)
        assert len(lines) <= MOST_LINES + 1
        assert all(cell_len(line) <= 60 and line.isprintable() for line in lines)

    check()


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("plot", {"title": HOSTILE, "beats": [{"name": HOSTILE, "summary": HOSTILE, "tension": 3}]}),
        ("scene", {"setting": {"place": HOSTILE}, "narration": HOSTILE, "moments": [HOSTILE]}),
        ("dialogue", {"lines": [{"speaker": HOSTILE, "text": HOSTILE, "emotion": HOSTILE}]}),
        ("transition", {"mood_from": HOSTILE, "mood_to": HOSTILE, "beats": [{"text": HOSTILE}]}),
        ("custom", {HOSTILE: HOSTILE, "list": [{HOSTILE: [HOSTILE]}]}),
        ("custom", HOSTILE),
    ],
)
def test_what_a_terminal_obeys_is_written_out(kind: str, content: Any) -> None:
    lines = draw_text(kind, content, width=79)
    assert all(line.isprintable() for line in lines)
    assert any("\\x1b" in line for line in lines)


def test_endless_texts_are_cut() -> None:
    content = {"lines": [{"speaker": "A" * 5000, "text": "b " * 50_000} for _ in range(5000)]}
    lines = draw_text("dialogue", content, width=79, most=40)
    assert len(lines) == 41
    assert lines[-1] == "…"
    assert max(map(len, lines)) <= 79


def test_the_curve_has_each_beat_at_its_tension() -> None:
    lines = draw_curve([1, 10, 4], 40)
    assert [next(row for row, line in enumerate(lines) if f"{beat}" in line[4:]) for beat in (1, 2, 3)] == [
        9,
        0,
        6,
    ]
    assert lines[0].startswith("10 │")
    assert lines[9].startswith(" 1 │")


def test_another_document_is_a_tree_and_none_says_why() -> None:
    tree = draw_text("plot", {"name": "lamp", "parts": [1, {"glass": None}]}, width=40)
    assert tree == ["name: lamp", "parts: 2 items", "├ 1: 1", "└ 2: 1 field", "  └ glass: null"]
    assert draw_text("layout", None, label=label_sample("x"), width=40) == [
        "layout" + "golden sample x".rjust(34)
    ]
