"""Experiments in the console: verdict, arms, and an end that is asked for twice."""

from __future__ import annotations

import httpx2
from playwright.sync_api import Page, expect

from tests.console.site import Site


def test_a_reading_and_a_promotion(console: Page, site: Site) -> None:
    for number in range(6):
        site.ask(
            f"{('', 'late-')[number % 2]}exp-{number}",
            f"a gate with {number} towers",
            node={"id": "tone-gate"},
        )
    site.wait_for_rows(6, "&node=tone-gate")
    console.goto("/experiments")
    reading = console.get_by_label("Reading of tone")
    expect(reading.get_by_role("status")).to_contain_text("Too few requests for a verdict")
    expect(reading.get_by_role("columnheader")).to_contain_text(["Goal: success", "as-is", "cool"])
    expect(reading.get_by_role("rowheader", name="fail_fallback")).to_be_visible()
    expect(reading.get_by_text("understudy experiments promote tone cool")).to_be_visible()
    reading.get_by_role("button", name="Promote cool", exact=True).click()
    expect(reading.get_by_text("Every request gets cool from now on")).to_be_visible()
    assert httpx2.get(f"{site.url}/api/v1/experiments").json()[0]["stopped"] is False
    reading.get_by_role("button", name="Promote cool now").click()
    expect(console.get_by_label("All experiments").get_by_text("stopped: cool for all")).to_be_visible()
    file = site.folder / "experiments" / "tone.toml"
    text = file.read_text(encoding="utf-8")
    assert 'promoted = "cool"' in text
    # The other tests of the site have it running again.
    file.write_text(text.replace("stopped = true\n", "").replace('promoted = "cool"\n', ""), encoding="utf-8")
