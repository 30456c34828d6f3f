"""Bench of telemetry: the interval of its ratios, and the process that collects and scrapes."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from infra.host import target_file
from infra.lab.bench.collector import collecting
from infra.lab.bench.paired import bootstrap


def test_starts_that_differ_widen_the_interval() -> None:
    low, high = bootstrap([[0.90, 0.91, 0.92], [0.96, 0.97, 0.98], [1.02, 1.03, 1.04]])
    alike_low, alike_high = bootstrap([[0.96, 0.97, 0.98]] * 3)
    assert 0.90 <= low < alike_low <= 0.97 <= alike_high < high <= 1.04


async def test_the_collector_counts_batches_and_scrapes(tmp_path: Path) -> None:
    target_file.write(
        tmp_path,
        [target_file.Target(targets=("127.0.0.1:1",), labels={"__metrics_path__": "/metrics/supervisor"})],
    )
    async with collecting() as collector:
        with urllib.request.urlopen(f"{collector.url}/on", data=b"spans") as answer:  # noqa: S310 - its own URL
            assert answer.status == 200
        collector.scrape(tmp_path)
        collected = await collector.end()
    assert collected.batches == {"/on": 1}
    # Nobody answers there.
    assert collected.scrapes == {}
