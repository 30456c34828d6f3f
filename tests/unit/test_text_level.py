"""Text drawings of levels: bounded, aligned, and of every layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given

from infra.pictures.fields import DocumentField
from infra.pictures.text_level import draw_level
from infra.settings import shipped
from tests.unit.kind_documents import documents

FOREST = {
    "scene_name": "Forest",
    "entities": [
        {"id": "ground", "type": "platform", "x": 0, "y": 200, "width": 400, "height": 20},
        {"id": "me", "type": "player", "x": 20, "y": 170},
        {"id": "coin", "type": "collectible", "item": "coin", "x": 200, "y": 100},
        {"id": "thorns", "type": "hazard", "x": 300, "y": 190, "width": 80, "height": 10},
    ],
}


def test_a_level_is_drawn_at_scale() -> None:
    lines = draw_level(DocumentField(FOREST), 40, plain=True)
    assert lines[-2:] == ["= platform 1  @ player 1", "o collectible 1  ^ hazard 1"]
    ground = next(index for index, line in enumerate(lines) if "=" in line)
    assert "@" in lines[ground - 1]
    assert lines[ground - 1].index("@") < 8
    coin = next(index for index, line in enumerate(lines) if "o" in line and index < ground)
    assert 14 < lines[coin].index("o") < 26
    assert all(len(line) <= 40 for line in lines)
    assert all(line.isascii() for line in lines)


@pytest.mark.parametrize(
    "file", sorted(shipped.SAMPLES.glob("sample_layout_*.json")), ids=lambda file: file.stem
)
def test_every_sample_can_be_drawn(file: Path) -> None:
    lines = draw_level(DocumentField(json.loads(file.read_text(encoding="utf-8"))), 100)
    assert 4 < len(lines) <= 20
    assert any("platform" in line for line in lines[-2:])


@given(documents("layout"))
def test_any_layout_has_a_bounded_drawing(content: object) -> None:
    lines = draw_level(DocumentField(content), 60)
    assert len(lines) <= 22
    assert all(len(line) <= 60 for line in lines)


@pytest.mark.parametrize("content", [None, {}, [], "x", {"entities": [{"type": "player", "x": "left"}]}])
def test_what_is_no_level_has_none(content: object) -> None:
    assert draw_level(DocumentField(content), 60) == []
