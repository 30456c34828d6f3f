"""Every screen of the console in both themes, checked by axe-core in a real browser: contrast cannot be judged without one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page, expect

from infra.lab import node_tools
from tests.console import pictures
from tests.console.site import Site

#: Write pictures of the screens into docs/console.
PICTURES: Final = os.environ.get("UNDERSTUDY_TEST_PICTURES") == "1"
#: Screens by name: their address, and what is on them as soon as they are complete.
SCREENS: Final = {
    "board": ("/", "[aria-label='Latest results']"),
    "requests": ("/requests", ".row"),
    "stand-in": ("/requests/late-gate-1", ".picture svg"),
    "result": ("/requests/gate-1", ".picture svg"),
    "dead-letters": ("/dead", ".row"),
    "letter": ("/dead?id=hot-gate&seq={letter}", ".cm-content"),
    "replays": ("/replays?id=late-gate-*", ".plan"),
    "compare": ("/compare?a=late-gate-1&b=gate-1", ".picture svg"),
    "experiments": ("/experiments?name=tone", ".experiment-bar"),
    "review": ("/review?kind=layout&mode=pair", ".review-sides .picture svg"),
    "nodes": ("/nodes", ".react-flow__node"),
    "health": ("/health", "[aria-label='Findings'] :is(table, ul, li)"),
    "telemetry": ("/telemetry?window=1h", ".series"),
    "settings": ("/settings", ".card"),
}
_SCENES: Final = Path(__file__).parents[2] / "library/scenarios/three_scenes.yaml"
_RUN: Final = """
async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations.map((each) => ({
    rule: each.id, impact: each.impact, nodes: each.nodes.map((node) => node.html.slice(0, 200) + " " + node.failureSummary),
  }));
}
"""


@pytest.fixture(scope="module")
def axe() -> str:
    """The program, of the version that the console's lock file pins."""
    node_tools.install()
    return (node_tools.MODULES / "axe-core/axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def letter(site: Site) -> int:
    """Something on every screen; the number of a dead letter."""
    if PICTURES:
        pictures.fill(site)
    for number in range(6):
        site.ask(f"{('', 'late-')[number % 2]}tone-{number}", "a gate with towers", node={"id": "tone-gate"})
    for request_id, prompt in (("gate-1", "a gate in a snowy wall"), ("late-gate-1", "a gate in a storm")):
        site.ask(request_id, prompt)
        site.wait_for_rows(1, f"&id={request_id}")
    return site.refuse("hot-gate")


def find_faults(page: Page, axe: str) -> list[dict[str, Any]]:
    """What axe says about the page as it is."""
    page.evaluate(f"if (!globalThis.axe) {{ {axe} }}")
    found: list[dict[str, Any]] = page.evaluate(_RUN)
    return found


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_has_no_fault_in_either_theme(
    console: Page, site: Site, axe: str, letter: int, screen: str
) -> None:
    address, complete = SCREENS[screen]
    console.emulate_media(reduced_motion="reduce")
    console.goto(address.format(letter=letter))
    if screen == "nodes":
        console.locator("input[type=file]").set_input_files(_SCENES)
    expect(console.locator(complete).first).to_be_visible()
    found = {}
    for theme in ("light", "dark"):
        console.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        if PICTURES:
            pictures.take(console, f"{screen}-{theme}", site)
        found[theme] = find_faults(console, axe)
    assert found == {"light": [], "dark": []}


@pytest.mark.parametrize(
    ("key", "name"), [("Control+k", "Commands"), ("?", "Keyboard"), ("c", "New request")]
)
def test_a_dialog_has_no_fault_and_gives_the_focus_back(console: Page, axe: str, key: str, name: str) -> None:
    console.emulate_media(reduced_motion="reduce")
    console.goto("/")
    expect(console.get_by_role("heading", name="Board")).to_be_visible()
    before = console.get_by_role("link", name="Health")
    before.focus()
    console.keyboard.press(key)
    expect(console.get_by_role("dialog", name=name)).to_be_visible()
    assert find_faults(console, axe) == []
    console.keyboard.press("Escape")
    expect(console.get_by_role("dialog")).to_have_count(0)
    expect(before).to_be_focused()
