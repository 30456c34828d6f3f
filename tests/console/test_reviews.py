"""Review in the console: by keys alone, blind until the score, and the same in the database."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.console.site import Site

KIND = "plot"


def ask(site: Site) -> None:
    for number in range(3):
        site.ask(f"plot-{number}", f"a heist in {number + 2} parts", kind=KIND)
    site.wait_for_rows(3, f"&kind={KIND}&id=plot-*")


def report(site: Site) -> dict[str, Any]:
    found = site.call("GET", f"/api/v1/reviews/report?kind={KIND}")
    assert isinstance(found, dict)
    return found


def shown(console: Page, name: str) -> Locator:
    """The content on a side, drawn, with nothing that tells what wrote it."""
    side = console.get_by_label(name, exact=True)
    expect(side.locator(".picture svg")).to_be_visible()
    text = side.inner_text()
    assert "under review" in text
    assert "written for tests" not in text
    return side


def press(console: Page, *keys: str) -> None:
    """Press keys, once the answer to the ones before is there."""
    expect(console.get_by_role("button", name="Undo")).to_be_enabled()
    for key in keys:
        console.keyboard.press(key)


def test_keys_alone_review_one_and_a_pair_undo_and_skip(console: Page, site: Site) -> None:
    ask(site)
    keys = console.keyboard
    console.goto(f"/review?kind={KIND}&id=plot-*")
    shown(console, "Content")
    expect(console.get_by_text("3 wait for")).to_be_visible()
    press(console, "4", "t")
    keys.type("vivid, Off brief")
    keys.press("Enter")
    command = console.get_by_text("understudy review score")
    expect(command).to_contain_text("4 --tag vivid --tag off-brief --as ")
    press(console, "n")
    reveal = console.get_by_label("What you scored last")
    expect(reveal).to_contain_text("scripted")
    expect(reveal).to_contain_text("plot-2")
    expect(console.get_by_text("2 wait for")).to_be_visible()
    assert report(site)["groups"][0]["tags"] == [["off-brief", 1], ["vivid", 1]]

    press(console, "u")
    expect(console.get_by_text("You have seen what wrote this")).to_be_visible()
    assert report(site)["scores"] == 0
    press(console, "5", "Enter")
    expect(console.get_by_text(", 1 scored")).to_be_visible()
    assert [report(site)[name] for name in ("scores", "revealed")] == [1, 1]

    # The screens' keys skip nothing.
    press(console, "g", "s")
    expect(console.get_by_role("heading", name="Settings")).to_be_visible()
    console.goto(f"/review?kind={KIND}&id=plot-*&mode=pair")
    shown(console, "Left")
    shown(console, "Right")
    press(console, "2", "4", "ArrowLeft", "3", "n")
    expect(console.get_by_text("You prefer the right one.")).to_be_visible()
    expect(console.get_by_text("No two results that can be compared wait")).to_be_visible()
    assert sorted(each["mean"] for each in report(site)["groups"]) == [4.0]
    press(console, "u")
    shown(console, "Left")
    press(console, "s")
    expect(console.get_by_text("No two results that can be compared wait")).to_be_visible()
    assert report(site)["scores"] == 1


def test_what_must_not_stand_in_is_refused_with_the_reason(console: Page, site: Site) -> None:
    site.ask("scene-1", "a ferry in the fog", kind="scene")
    site.wait_for_rows(1, "&id=scene-1")
    console.goto("/review?id=scene-1")
    shown(console, "Content")
    press(console, "5", "n")
    reveal = console.get_by_label("What you scored last")
    expect(reveal.get_by_text("understudy review promote scene-1")).to_be_visible()
    reveal.get_by_role("button", name="Promote scene-1").press("Enter")
    expect(reveal.get_by_role("alert")).to_contain_text("it is a test double")
