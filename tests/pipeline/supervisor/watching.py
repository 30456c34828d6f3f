"""A running pipeline as its monitoring shows it: pages over HTTP, and waiting for what they say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from infra.app import metrics_relay
from infra.settings.settings import Settings, load

#: Seconds within which anything that is waited for must have happened on a busy machine.
PATIENCE_S: Final = 60.0
_STEP_S: Final = 0.1


def scripted(folder: Path, *, rules: list[dict[str, Any]], **more: Any) -> Settings:
    """Settings of a pipeline whose model follows rules."""
    script = folder / "script.json"
    script.write_text(json.dumps({"rules": rules}))
    return load(
        data_dir=folder / "data",
        use_local_model=True,
        script=script,
        broker={"sync_interval": "2m"},
        narrative={"provider": "scripted", "providers": {"custom": "scripted"}},
        **more,
    )


async def page(url: str | None, path: str) -> str | None:
    """A page; ``None`` if it is not answered with 200 within a second."""
    assert url is not None
    return await asyncio.to_thread(metrics_relay.fetch, url.removeprefix("http://"), path)


async def total(url: str | None, name: str, **labels: str) -> float:
    """The sum of the time series of a metric that have some labels; 0 without an answer."""
    text = await page(url, "/metrics") or ""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def until(holds: Callable[[], Any], what: str) -> None:
    """Look again and again until something holds; other processes give no sign.

    Args:
        holds: makes an awaitable of whether it does.
        what: is waited for.
    """
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await holds():
                await asyncio.sleep(_STEP_S)
    except TimeoutError:
        raise AssertionError(f"not within {PATIENCE_S:g} s: {what}") from None
