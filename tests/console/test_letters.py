"""Dead letters in the console: the journey of a repair, with the keyboard alone."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.console.site import Site

#: Steps of the Tab key within which everything of the page is reached.
_STEPS = 60


def press_tab_until(page: Page, name: str) -> None:
    """Move the focus until it is on what has a name."""
    for _ in range(_STEPS):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "[document.activeElement.ariaLabel, document.activeElement.textContent].join(' ')"
        )
        if re.search(name, found):
            return
    raise AssertionError(f"the Tab key does not reach {name!r}")


def test_a_letter_is_repaired_with_the_keyboard_alone(console: Page, site: Site) -> None:
    sequence = site.refuse("hot-1")
    console.goto("/dead?id=hot-1")
    rows = console.get_by_role("table", name="Dead letters").get_by_role("row")
    expect(rows).to_have_count(2)
    console.keyboard.press("j")
    console.keyboard.press("Enter")
    letter = console.get_by_role("region", name=f"Letter {sequence}")
    verdict = letter.get_by_role("status")
    expect(verdict).to_contain_text("would be refused")
    fault = letter.locator(".cm-lintRange-error")
    expect(fault).to_have_text("9")
    replay = letter.get_by_role("button", name="Plan the replay")
    expect(replay).to_be_disabled()
    press_tab_until(console, "^Request ")
    # The next fault of the editor: it is selected, and what is typed replaces it.
    console.keyboard.press("F8")
    console.keyboard.type("0.5")
    expect(verdict).to_contain_text("would be accepted")
    expect(fault).to_have_count(0)
    expect(letter.get_by_text("1 change")).to_be_visible()
    press_tab_until(console, "Plan the replay")
    console.keyboard.press("Enter")
    expect(console).to_have_url(re.compile(rf"/replays\?.*letters={sequence}\b"))
