"""A long list of the console: a hundred thousand rows are scrolled through, and the page holds few of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route, expect

ROWS: Final = 100_000
#: More at once than the page asks for, so that all are there soon.
_PAGE: Final = 20_000
_FRAMES: Final = 120
#: Scrolls to the end and beyond until all rows are there.
_TO_END: Final = "box => { box.scrollTop = box.scrollHeight; }"
#: Scrolls for some frames; by frame its milliseconds, the rows in the document, and the pixels without a row.
_SCROLL: Final = """
(box, frames) => new Promise((resolve) => {
  const found = [];
  let before = null;
  const from = box.scrollHeight / 3;
  const look = (now) => {
    const seen = box.getBoundingClientRect();
    const head = box.querySelector(".rows-head").getBoundingClientRect();
    const rows = [...box.querySelectorAll(".row")].map((row) => row.getBoundingClientRect());
    const top = Math.min(...rows.map((row) => row.top));
    const bottom = Math.max(...rows.map((row) => row.bottom));
    const blank = Math.max(0, top - head.bottom) + Math.max(0, seen.bottom - bottom);
    if (before !== null) found.push({ ms: now - before, rows: rows.length, blank });
    before = now;
    if (found.length === frames) return resolve(found);
    // Slowly, quickly, and far.
    const step = found.length % 60 < 30 ? 40 : found.length % 60 < 55 ? 400 : 9000;
    box.scrollTop = found.length === 0 ? from : box.scrollTop + step;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})
"""


def make_row(number: int, now_ms: int) -> dict[str, Any]:
    """A request as the list has it."""
    origin = ("live", "cache", "golden_sample", "none")[number % 4]
    return {
        "request_id": f"row-{number:06}",
        "kind": ("layout", "plot", "scene", "dialogue")[number % 4],
        "requested_at_ms": now_ms - number * 500,
        "ended_at_ms": now_ms - number * 500 + 120,
        "status": "success",
        "origin": origin,
        "error_code": "GEN_TIMEOUT" if origin == "golden_sample" else None,
        "error_message": "no answer within 8 s" if origin == "golden_sample" else None,
        "model": "house",
        "node_id": None,
        "replay_of": None,
        "revised_by": None,
    }


def test_a_hundred_thousand_rows_scroll_without_blank_frames(
    console: Page, record_property: Callable[[str, object], None]
) -> None:
    now_ms = round(time.time() * 1000)

    def answer(route: Route) -> None:
        after = int(parse_qs(urlsplit(route.request.url).query).get("cursor", ["0"])[0])
        end = min(ROWS, after + _PAGE)
        items = [make_row(number, now_ms) for number in range(after, end)]
        route.fulfill(json={"items": items, "next": str(end) if end < ROWS else None})

    console.route("**/api/v1/generations?**", answer)
    console.goto("/requests")
    box = console.get_by_role("table", name="Requests")
    for loaded in range(_PAGE, ROWS + 1, _PAGE):
        expect(console.get_by_text(f"{loaded:,} loaded")).to_be_visible()
        box.evaluate(_TO_END)
    expect(box).to_have_attribute("aria-rowcount", str(ROWS + 1))
    expect(console.get_by_role("link", name=f"{ROWS - 1:06}")).to_be_visible()

    frames: list[dict[str, float]] = box.evaluate(_SCROLL, _FRAMES)
    times = sorted(frame["ms"] for frame in frames)
    figures = [f"p{each} {times[len(times) * each // 100]:.1f} ms" for each in (50, 95, 99)]
    record_property("frames", ", ".join(figures))
    # Ten of overscan on both sides of what is seen.
    assert max(frame["rows"] for frame in frames) < 70
    blank = [frame["blank"] > 0 for frame in frames]
    assert not any(all(blank[at : at + 3]) for at in range(len(blank)))
