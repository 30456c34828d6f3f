"""Pictures of the console's screens for docs/console.md, with what a small pipeline has done."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from playwright.sync_api import Page

from tests.console.site import Site

FOLDER: Final = Path(__file__).parents[2] / "docs/console"
#: Bytes of a picture.
_MOST: Final = 120_000
_ASKED: Final = (
    ("layout", "a forest with three coins"),
    ("layout", "a harbour in the rain, two guards"),
    ("layout", "a clockwork tower with moving platforms"),
    ("plot", "a heist that goes wrong twice"),
    ("plot", "the last lighthouse keeper"),
    ("scene", "a market at dawn"),
    ("dialogue", "two guards who disagree about a door"),
    ("transition", "from calm to a storm"),
)


def fill(site: Site) -> None:
    """Requests of all kinds: written, from the cache, late, malformed, slow, refused."""
    with ThreadPoolExecutor(8) as pool:
        for round_number, start in enumerate(("", "", "late-", "", "odd-", "slow-")):
            for number, (kind, prompt) in enumerate(_ASKED):
                pool.submit(site.ask, f"{start}{kind}-{round_number}{number}", prompt, kind=kind)
    for number in range(3):
        site.refuse(f"hot-{number}")


def take(page: Page, name: str, site: Site) -> None:
    """Write a picture of what the page shows, while the pipeline works."""
    with ThreadPoolExecutor(8) as pool:
        if name.startswith("board"):
            for number, (kind, prompt) in enumerate(_ASKED):
                for start in ("slow-", "late-"):
                    pool.submit(site.ask, f"{start}{name}-{number}", prompt, kind=kind)
        # What is loaded after the rest is there, too.
        page.wait_for_timeout(2000)
        session = page.context.new_cdp_session(page)
        for quality in (90, 80, 70, 60):
            taken = session.send("Page.captureScreenshot", {"format": "webp", "quality": quality})
            found = base64.b64decode(taken["data"])
            if len(found) <= _MOST:
                break
        session.detach()
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.webp").write_bytes(found)
