"""Fault campaigns at a small size: the machinery of `understudy bench proof` against a real pipeline."""

from __future__ import annotations

import asyncio
import sys

import msgspec
import pytest

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.mark.parametrize("section", ["faults", "full-disk", "cluster"])
async def test_no_fault_loses_doubles_or_hides_a_result(section: str) -> None:
    # A process of its own: the campaign on a cluster moves its process into another network.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.cli", "bench", "proof", section),
        *("--requests", "1500", "--rate", "25", "--cluster-rate", "25", "--faults", "40"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    found = msgspec.json.decode(out)[section]["figures"]
    assert (found["lost"], found["doubled"], found["unlabelled"]) == (0, 0, 0)
    assert found["faults"] > 0
    assert found["accepted"] + found["refused"] >= found["plan"]["requests"]
    assert {"success/scripted", "fail_fallback/golden_sample"} <= set(found["endings"])
