"""A running pipeline as its monitoring shows it: pages over HTTP, and waiting for what they say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import urlopen

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


async def problems(url: str | None) -> str | None:
    """What ``/readyz`` says is wrong; ``None`` if it is not answered with 503 within some seconds."""
    assert url is not None

    def ask() -> str | None:
        try:
            urlopen(f"http://{url.removeprefix('http://')}/readyz", timeout=5).close()
        except HTTPError as error:
            with error:
                return "; ".join(json.load(error)["problems"]) if error.code == 503 else None
        except OSError:
            pass
        return None

    return await asyncio.to_thread(ask)


async def total(url: str | None, name: str, **labels: str) -> float | None:
    """The sum of the time series of a metric that have some labels; ``None`` without an answer."""
    text = await page(url, "/metrics")
    if text is None:
        return None
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
