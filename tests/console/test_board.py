"""The board's time machine."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

from tests.console.site import Site


def test_the_board_shows_what_ran_at_a_past_second(console: Page, site: Site) -> None:
    began_s = time.time()
    assert site.ask("slow-1")["status"] == "success"
    console.goto("/")
    stages = console.get_by_role("region", name="Stages")
    slow = stages.locator("a[href='/requests/slow-1']")
    # A result stays on the board for a moment.
    expect(slow).to_have_count(0)
    slider = console.get_by_role("slider", name="Moment that is shown")
    slider.fill(str(round(began_s + 1 - time.time())))
    expect(slow).to_be_visible()
    expect(console.get_by_text("as it was at")).to_be_visible()
    expect(console.get_by_label("Stages")).to_contain_text("layout w-1")
    console.get_by_role("button", name="Now").click()
    expect(slow).to_have_count(0)
    expect(console.get_by_text("as it was at")).to_have_count(0)
    expect(slider).to_have_attribute("aria-valuetext", "now")
