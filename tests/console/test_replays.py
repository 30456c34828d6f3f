"""Replays in the console: an outage is planned, repeated, seen by who opens its requests, and undone; a letter too."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.console.site import Site

#: Requests that the outage meets.
_LOST = 12


def test_an_outage_is_repaired_and_the_repair_is_undone(console: Page, site: Site) -> None:
    lost = [f"late-out-{number}" for number in range(_LOST)]
    for each in lost:
        body = {"kind": "layout", "prompt": f"a bridge {each}"}
        site.call("POST", "/api/v1/generations", body, Idempotency_Key=each)
    site.wait_for_rows(_LOST, "&id=late-out-*&origin=golden_sample")
    # From the stand-ins of the list to a plan of all that match.
    console.goto("/requests?id=late-out-*&origin=golden_sample")
    console.get_by_role("link", name="Replay all of these").click()
    plan = console.get_by_role("region", name="Plan")
    expect(plan.get_by_text("Would be published").locator("xpath=..")).to_contain_text(str(_LOST))
    # A change makes the plan anew.
    console.get_by_label("Rate, requests/s").fill("50")
    start = console.get_by_role("button", name=f"Start {_LOST}")
    expect(plan).to_contain_text("240 ms to publish")
    start.click()
    # The job, live until all have ended.
    expect(console).to_have_url(re.compile(r"/replays/\d+$"))
    progress = console.get_by_role("progressbar", name="Ended")
    expect(progress).to_have_attribute("aria-valuetext", f"{_LOST} success")
    rows = console.get_by_role("table", name="Requests of the job").get_by_role("row")
    expect(rows).to_have_count(_LOST + 1)
    expect(rows.filter(has_text="scripted")).to_have_count(_LOST)
    job = console.url
    # Whoever opens the request sees that it was replaced, and by what.
    console.goto(f"/requests/{lost[0]}")
    expect(console.get_by_label("Timeline")).to_contain_text("replaced")
    expect(console.get_by_label("Lineage")).to_contain_text("Replaced by")
    # An undo says first what it would do.
    console.goto(job)
    console.get_by_role("button", name="Undo…").click()
    would = console.get_by_role("status", name="What an undo would do")
    expect(would).to_contain_text(f"{_LOST} requests undone")
    would.get_by_role("button", name=f"Undo {_LOST}").click()
    expect(console.get_by_role("status", name="Undone")).to_contain_text(
        f"{_LOST} earlier results published again"
    )
    expect(console.get_by_role("heading", name=re.compile("^Replay "))).to_be_visible()
    expect(console.get_by_role("button", name=f"undone {_LOST}")).to_be_visible()
    console.goto(f"/requests/{lost[0]}")
    expect(console.get_by_label("Who wrote it")).to_contain_text("A golden sample stood in")


def test_a_plan_that_is_out_of_date_starts_nothing(console: Page, site: Site) -> None:
    site.ask("late-stale-1")
    site.wait_for_rows(1, "&id=late-stale-1&origin=golden_sample")
    console.goto("/replays?id=late-stale-*")
    start = console.get_by_role("button", name="Start 1", exact=True)
    expect(start).to_be_enabled()
    site.ask("late-stale-2", "another one")
    site.wait_for_rows(1, "&id=late-stale-2&origin=golden_sample")
    start.click()
    expect(console.get_by_role("alert")).to_contain_text("the selection has changed since the plan")
    expect(console.get_by_role("alert")).to_contain_text("late-stale-2")
    expect(console.get_by_role("button", name="Start 2")).to_be_enabled()
    console.reload()
    expect(console.get_by_role("combobox", name="Filter")).to_have_value("id:late-stale-*")


def test_a_letter_is_edited_planned_and_repeated(console: Page, site: Site) -> None:
    sequence = site.refuse("hot-again")
    console.goto(f"/dead?id=hot-again&seq={sequence}")
    letter = console.get_by_role("region", name=f"Letter {sequence}")
    expect(letter.locator(".cm-lintRange-error")).to_have_text("9")
    letter.get_by_role("textbox", name="Request").click()
    console.keyboard.press("F8")
    console.keyboard.type("0.5")
    expect(letter.get_by_role("status")).to_contain_text("would be accepted")
    # Edited for many, the letters that it fits are chosen by their values.
    letter.get_by_role("button", name="Plan for all like it").click()
    edit = console.get_by_role("region", name="Edit")
    expect(edit.get_by_role("listitem")).to_have_text(
        [re.compile("only where/params/temperatureis 9"), re.compile("replace/params/temperature0.5")]
    )
    expect(console.get_by_role("region", name="Plan")).to_be_visible()
    console.go_back()
    letter.get_by_role("textbox", name="Request").click()
    console.keyboard.press("F8")
    console.keyboard.type("0.5")
    letter.get_by_role("button", name="Plan the replay").click()
    expect(edit.get_by_role("listitem")).to_have_count(1)
    console.get_by_role("button", name="Start 1", exact=True).click()
    expect(console).to_have_url(re.compile(r"/replays/\d+$"))
    console.get_by_role("link", name=f"rp-{sequence}-1").click()
    expect(console.get_by_label("Who wrote it")).to_contain_text("The scripted provider answered")


def test_a_request_runs_again_as_a_shadow_and_both_are_compared(console: Page, site: Site) -> None:
    site.ask("again-1", "a quiet harbour")
    site.wait_for_rows(1, "&id=again-1&origin=scripted")
    console.goto("/requests/again-1")
    console.get_by_role("button", name="Re-run from stage…").click()
    form = console.get_by_role("form", name="Re-run")
    form.get_by_label("Temperature").fill("9")
    expect(form.get_by_role("alert")).to_contain_text("params.temperature")
    form.get_by_label("Temperature").fill("0.3")
    expect(form.get_by_role("status")).to_contain_text(re.compile(r"About [\d,]+ tokens"))
    form.get_by_role("button", name="Run the shadow").click()
    expect(console).to_have_url(re.compile(r"/compare\?a=again-1&b=sh-"))
    expect(console.get_by_role("region", name="Asked differently")).to_contain_text("0.3")
    expect(console.get_by_role("region", name="Figures")).to_contain_text("freeform-gen")
