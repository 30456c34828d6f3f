"""Requests in the console: listed, filtered, opened, written live, explained."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.console.site import Site


def test_a_request_is_written_live_and_its_result_is_labelled(console: Page, site: Site) -> None:
    console.goto("/")
    console.get_by_role("button", name="New request").click()
    console.get_by_label("What to generate").fill("a harbour in the rain")
    console.get_by_role("button", name="Generate").click()
    expect(console).to_have_url(re.compile(r"/requests/[\w-]+$"))
    expect(console.get_by_label("Who wrote it")).to_contain_text("The scripted provider answered")
    expect(console.get_by_label("Timeline")).to_contain_text("validate-repair")


def test_a_stand_in_says_so_and_why_in_its_first_sentence(console: Page, site: Site) -> None:
    assert site.ask("late-1")["origin"] == "golden_sample"
    console.goto("/requests/late-1")
    verdict = console.get_by_label("Who wrote it")
    expect(verdict).to_contain_text("A golden sample stood in: sample_")
    expect(verdict).to_contain_text("no answer within 0.05 s")
    expect(verdict).to_contain_text("GEN_TIMEOUT")


def test_the_list_is_filtered_by_its_address_and_back_keeps_the_filter(console: Page, site: Site) -> None:
    site.ask("plain-1")
    site.ask("late-2")
    site.wait_for_rows(1, "&origin=golden_sample&id=late-2")
    console.goto("/requests")
    console.get_by_role("combobox", name="Filter").fill("origin:golden_sample id:late-2")
    console.get_by_role("combobox", name="Filter").press("Enter")
    expect(console).to_have_url(re.compile(r"origin=golden_sample"))
    rows = console.get_by_role("table", name="Requests").get_by_role("row")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("GEN_TIMEOUT")
    console.get_by_role("link", name="late-2").click()
    expect(console.get_by_label("Who wrote it")).to_be_visible()
    console.go_back()
    expect(console.get_by_role("combobox", name="Filter")).to_have_value("id:late-2 origin:golden_sample")
    expect(rows).to_have_count(2)
    console.reload()
    expect(rows).to_have_count(2)


def test_the_keyboard_opens_a_request(console: Page, site: Site) -> None:
    site.ask("key-1")
    site.wait_for_rows(1, "&id=key-1")
    console.goto("/requests?id=key-1")
    expect(console.get_by_role("table", name="Requests").get_by_role("row")).to_have_count(2)
    console.keyboard.press("j")
    console.keyboard.press("Enter")
    expect(console).to_have_url(re.compile("/requests/key-1$"))
    console.keyboard.press("g")
    console.keyboard.press("h")
    expect(console.get_by_role("heading", name="Health")).to_be_visible()
    console.keyboard.press("Control+k")
    console.get_by_role("combobox", name="Command, screen or request").fill("key-1")
    console.keyboard.press("ArrowUp")
    console.keyboard.press("Enter")
    expect(console.get_by_role("combobox", name="Filter")).to_have_value("key-1")
