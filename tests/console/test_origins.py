"""Colours of origins: live, cache, stand-in, nothing and scripted differ, are the theme's, and are the drawing's too."""

from __future__ import annotations

import time
from typing import Any, Final

import pytest
from playwright.sync_api import Page, Route, expect

from infra.pictures.draw import draw
from infra.pictures.label import OriginGroup, PictureLabel
from tests.console.test_rows import make_row

#: Origins with their word, the property of the page that has their colour, and the drawing's group.
ORIGINS: Final = {
    "live": ("live", "--live", OriginGroup.LIVE),
    "cache": ("cache", "--cache", OriginGroup.CACHE),
    "golden_sample": ("stand-in", "--standin", OriginGroup.STAND_IN),
    "none": ("nothing", "--nothing", OriginGroup.NOTHING),
    "scripted": ("scripted", "--scripted", OriginGroup.STAND_IN),
}
#: The colour of an element, and that of a property where it is used.
_COLOURS: Final = """
(element, property) => {
  const probe = document.createElement("i");
  probe.style.color = `var(${property})`;
  document.body.append(probe);
  const wanted = getComputedStyle(probe).color;
  probe.remove();
  return [getComputedStyle(element).color, wanted];
}
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_origin_has_its_word_and_its_colour(console: Page, theme: str) -> None:
    now_ms = round(time.time() * 1000)
    rows: list[dict[str, Any]] = [
        make_row(number, now_ms) | {"origin": origin} for number, origin in enumerate(ORIGINS)
    ]
    console.route("**/api/v1/generations?**", lambda route: answer(route, rows), times=20)
    console.goto("/requests")
    console.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
    found: dict[str, str] = {}
    for row, (word, property_name, _) in zip(rows, ORIGINS.values(), strict=True):
        shown = console.locator(".row").filter(has_text=row["request_id"][-6:]).locator(".origin")
        expect(shown).to_have_text(word)
        colour, wanted = shown.evaluate(_COLOURS, property_name)
        assert colour == wanted
        found[word] = colour
    assert len(set(found.values())) == len(ORIGINS)


def answer(route: Route, rows: list[dict[str, Any]]) -> None:
    """The rows, and no more."""
    route.fulfill(json={"items": rows, "next": None})


def test_a_drawing_has_a_colour_for_each_group() -> None:
    drawn = {
        group: draw(
            "scene", {"title": "A quay", "narration": "Rain."}, label=PictureLabel(group=group, text="x")
        )
        for group in OriginGroup
    }
    assert len(set(drawn.values())) == len(OriginGroup)
