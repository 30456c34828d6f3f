"""The console's one event stream: shared by tabs, kept through the end of a tab and of the broker."""

from __future__ import annotations

import os
import re
import signal

from playwright.sync_api import BrowserContext, Page, Request, expect

from tests.console.site import Site


def expect_live(page: Page) -> None:
    expect(page.get_by_role("status").filter(has_text=re.compile(r"live, \d+ events/s"))).to_be_visible()


def test_tabs_share_one_stream_and_the_next_tab_continues_it_without_a_gap(
    tabs: BrowserContext, site: Site
) -> None:
    streams: list[Request] = []
    tabs.on(
        "request",
        lambda request: streams.append(request) if "/api/v1/events?" in request.url else None,
    )
    pages = [tabs.new_page() for _ in range(3)]
    for page in pages:
        page.goto("/requests")
        expect_live(page)
    site.ask("tab-1")
    for page in pages:
        expect(page.get_by_role("button", name="Show 1 new")).to_be_visible()
    assert len(streams) == 1
    # The tab that was opened first reads for all.
    pages[0].close()
    site.ask("tab-2")
    site.ask("tab-3")
    for page in pages[1:]:
        expect(page.get_by_role("button", name="Show 3 new")).to_be_visible()
    assert len(streams) == 2
    assert "last-event-id" in streams[1].all_headers()


def test_an_outage_of_the_broker_is_shown_and_ends_by_itself(console: Page, site: Site) -> None:
    console.goto("/requests")
    expect_live(console)
    outage = console.get_by_role("alert").filter(has_text="No live events")
    # Stopped, the supervisor cannot start the broker again.
    site.process.send_signal(signal.SIGSTOP)
    try:
        os.kill(site.pids()["broker"], signal.SIGKILL)
        expect(outage).to_contain_text("no connection to the broker")
        console.goto("/")
        expect(console.get_by_role("alert").filter(has_text="Broker is away")).to_be_visible()
    finally:
        site.process.send_signal(signal.SIGCONT)
    expect_live(console)
    expect(console.get_by_role("alert")).to_have_count(0)
    assert site.ask("after-outage")["status"] == "success"
    latest = console.get_by_role("region", name="Latest results")
    expect(latest.locator("a[href='/requests/after-outage']")).to_be_visible()
