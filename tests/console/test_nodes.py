"""Nodes in the console: faults at their fields, repairs, tests inside the node, and edits with the keyboard alone."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.console.site import Site
from tests.console.test_letters import press_tab_until

SOUND: dict[str, Any] = {
    "generationType": "transition",
    "purpose": "bridge",
    "style": {"moodFrom": "romantic", "moodTo": "tense"},
    "strategy": "once",
    "seedSource": "fixed",
    "fallback": {"mode": "golden_sample"},
}


def save(site: Site, name: str, node: dict[str, Any]) -> None:
    site.call("PUT", f"/api/v1/nodes/{name}", node, If_None_Match="*")


def test_a_contradiction_is_shown_at_its_field_and_blocks_until_it_is_repaired(
    console: Page, site: Site
) -> None:
    save(site, "contradictory", SOUND | {"duration": {"min": 45, "max": 15}})
    console.goto("/nodes?node=contradictory&tab=style")
    panel = console.get_by_role("region", name="Node contradictory")
    shortest = panel.get_by_label("Shortest, s")
    expect(shortest).to_have_attribute("aria-invalid", "true")
    publish = panel.get_by_role("button", name="Publish")
    expect(publish).to_be_disabled()
    panel.get_by_role("button", name="swap minimum and maximum").click()
    expect(shortest).to_have_attribute("aria-invalid", "false")
    expect(shortest).to_have_value("15")
    publish.click()
    expect(panel.get_by_role("button", name="Generate…")).to_be_visible()
    assert site.call("GET", "/api/v1/nodes/contradictory")["node"]["duration"] == {"min": 15, "max": 45}


def test_a_test_generates_inside_the_node(console: Page, site: Site) -> None:
    save(site, "tested", SOUND)
    console.goto("/nodes?node=tested&tab=test")
    panel = console.get_by_role("region", name="Node tested")
    panel.get_by_label("What happens").fill("A phone rings.")
    panel.get_by_role("button", name="Test the draft").click()
    expect(panel.locator(".test-result .picture svg")).to_be_visible()
    expect(panel.locator(".test-result")).to_contain_text("scripted")


def test_a_graph_is_edited_with_the_keyboard_alone(console: Page, site: Site) -> None:
    site.call(
        "PUT",
        "/api/v1/graphs/keys",
        {
            "nodes": [{"type": "scene", "id": "start", "title": "Start", "position": {"x": 0, "y": 0}}],
            "edges": [],
        },
        If_None_Match="*",
    )
    console.goto("/nodes?graph=keys")
    expect(console.locator(".react-flow__node")).to_have_count(1)
    press_tab_until(console, "scene start")
    console.keyboard.press("Enter")
    expect(console.get_by_role("region", name="Scene start")).to_be_visible()
    console.keyboard.press("ArrowRight")
    press_tab_until(console, "Add a node after it")
    console.keyboard.press("Enter")
    panel = console.get_by_role("region", name=re.compile("^Node "))
    expect(panel).to_be_visible()
    expect(console.locator(".react-flow__edge")).to_have_count(1)
    expect(console.get_by_role("status").filter(has_text="saved")).to_be_visible()
    graph = site.call("GET", "/api/v1/graphs/keys")["graph"]
    assert graph["nodes"][0]["position"]["x"] > 0
    assert graph["edges"] == [{"source": "start", "target": graph["nodes"][1]["id"]}]
    console.keyboard.press("Control+z")
    expect(console.locator(".react-flow__edge")).to_have_count(0)


def test_a_graph_without_places_is_arranged(console: Page, site: Site) -> None:
    graph = {
        "nodes": [{"type": "scene", "id": name} for name in ("first", "second", "third")],
        "edges": [{"source": "first", "target": "second"}, {"source": "second", "target": "third"}],
    }
    site.call("PUT", "/api/v1/graphs/placeless", graph, If_None_Match="*")
    console.goto("/nodes?graph=placeless")
    expect(console.locator(".react-flow__edge")).to_have_count(2)
    expect(console.locator(".react-flow__node").last).to_be_in_viewport(ratio=0.95)

    def lefts() -> list[float]:
        return [
            box["x"]
            for name in ("first", "second", "third")
            if (box := console.locator(f".react-flow__node[data-id='{name}']").bounding_box())
        ]

    console.wait_for_function(
        "() => new Set([...document.querySelectorAll('.react-flow__node')].map((each) => each.style.transform)).size === 3"
    )
    assert lefts() == sorted(lefts())
