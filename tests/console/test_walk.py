"""A new user's walk in the console: from the board to a designed node that generates in a graph.

Every step names what is seen on the page alone: no address, no identifier, nothing that documentation would have to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.console.site import Site


class Walker:
    """A user who sees words, clicks them and types.

    Args:
        page: what is seen.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self.steps = 0

    def click(self, role: str, words: str) -> None:
        """Click what is called so."""
        self.steps += 1
        self._page.get_by_role(role, name=words, exact=True).click()  # pyright: ignore[reportArgumentType] - a role's name

    def fill(self, label: str, text: str, *, key: str | None = None) -> None:
        """Type into a field."""
        self.steps += 1
        field = self._page.get_by_role("textbox", name=label, exact=True)
        field.fill(text)
        if key is not None:
            field.press(key)

    def choose(self, label: str, words: str) -> None:
        """Choose from a list."""
        self.steps += 1
        self._page.get_by_role("combobox", name=label, exact=True).select_option(words)


@pytest.fixture
def undesigned(site: Site) -> Site:
    """The pipeline as it was when nobody had designed anything."""
    for what in ("graphs", "nodes"):
        for each in site.call("GET", f"/api/v1/{what}?limit=500")["items"]:
            site.call("DELETE", f"/api/v1/{what}/{each['id']}", If_Match="*")
    return site


def test_a_new_user_designs_a_node_that_generates_in_a_graph(
    undesigned: Site, console: Page, record_property: Callable[[str, object], None]
) -> None:
    site, page = undesigned, console
    walk = Walker(page)
    began = time.monotonic()
    page.goto("/")
    expect(page.get_by_role("heading", name="Board")).to_be_visible()
    walk.click("link", "Nodes")
    walk.click("button", "Create a graph")
    expect(page.get_by_text("“Add node” puts a node between the scenes")).to_be_visible()
    walk.click("button", "Add node")
    panel = page.get_by_role("region", name="Node start_to_end")
    # It is on the canvas, between both scenes, and in sight.
    expect(page.locator(".react-flow__edge")).to_have_count(2)
    for name in ("scene start", "generation start_to_end", "scene end"):
        expect(page.locator(f".react-flow__node[aria-label^='{name}']")).to_be_in_viewport(ratio=0.95)
    walk.fill("Purpose", "variation")
    walk.choose("Written anew", "for each request")
    walk.click("tab", "Style")
    walk.fill("Mood before", "calm")
    walk.fill("Mood after", "tense")
    walk.choose("Pacing", "fast")
    walk.click("tab", "Rules")
    walk.fill("Must have", "phone", key="Enter")
    walk.fill("Must not have", "gun", key="Enter")
    walk.click("tab", "Generate")
    walk.fill("What happens here", "A phone rings and the dance is over.")
    walk.click("button", "Test the draft")
    expect(panel.locator(".test-result .picture svg")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="saved")).to_be_visible()
    walk.click("button", "Publish")
    expect(panel.get_by_role("button", name="Published")).to_be_visible()
    walk.click("button", "Generate")
    result = panel.locator(".test-result")
    expect(result.locator(".picture svg")).to_be_visible()
    expect(result).to_contain_text("scripted")
    # The outcome is on the node: a test is counted nowhere.
    expect(page.get_by_role("img", name="last outcomes: success").first).to_be_visible()
    walk.click("link", "open the request")
    expect(page.get_by_role("heading", level=1)).to_contain_text("transition")
    record_property("walk", f"{walk.steps} steps, {time.monotonic() - began:.1f} s")
    row = site.call("GET", "/api/v1/generations?node=start_to_end")["items"][0]
    assert (row["kind"], row["node_id"], bool(row["shadow"])) == ("transition", "start_to_end", False)


def test_a_node_without_a_graph_generates_too(console: Page, site: Site) -> None:
    node = {"generationType": "dialogue", "strategy": "always"}
    site.call("PUT", "/api/v1/nodes/alone", node, If_None_Match="*")
    console.goto("/nodes?node=alone&tab=test")
    panel = console.get_by_role("region", name="Node alone")
    expect(panel.get_by_role("button", name="Generate", exact=True)).to_be_disabled()
    panel.get_by_role("button", name="Publish").click()
    panel.get_by_role("textbox", name="What happens", exact=True).fill("Two guards disagree.")
    panel.get_by_role("button", name="Generate", exact=True).click()
    expect(panel.locator(".test-result .picture svg")).to_be_visible()
