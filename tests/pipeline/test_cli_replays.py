"""`understudy replay` on the command line: plan, run, show, undo, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.pipeline.conftest import PATIENCE_S
from tests.pipeline.shell import Shell


async def planned(shell: Shell, *args: str) -> Any:
    """A plan, as soon as the audit knows the request."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            _, out, err = await shell.run("replay", *args, "--dry-run", "--json")
            plan = json.loads(out)
            if plan["items"]:
                return plan
            assert not err
            await asyncio.sleep(0.2)


async def test_a_job_is_planned_run_shown_and_undone(shell: Shell) -> None:
    await shell.json("request", "a forest with a mill", "--id", "mill-1", "--wait")
    plan = await planned(shell, "--id", "mill-1", "--status", "cached_fallback")
    (item,) = plan["items"]
    assert (item["state"], item["replay_of"], item["kind"]) == ("planned", "mill-1", "layout")
    job = str(plan["job"])
    assert (await shell.run("result", item["request_id"]))[0] != 0, "nothing is published"

    changed = await shell.run("replay", "--id", "mill-1", "--fresh", "--plan", plan["plan_hash"])
    assert (changed[0], "the plan has changed" in changed[2]) == (1, True)
    report = await shell.json("replay", "resume", job)
    assert (report["state"], report["published"]) == ("done", 1)
    result = await shell.json("result", item["request_id"], "--wait")
    assert (result["status"], result["meta"]["replay_of"]) == ("cached_fallback", "mill-1")

    status, out, _ = await shell.run("replay", "--id", "mill-1", "--json")
    assert (status, json.loads(out)["items"][0]["state"]) == (1, "present")
    shown = await shell.json("replay", "show", job)
    assert (shown["state"], shown["counts"]["published"]) == ("done", 1)
    assert plan["job"] in [each["job"] for each in await shell.json("replay", "ls")]
    undone = await shell.json("replay", "undo", job)
    assert (undone["undone"], undone["restored"]) == (1, 0)
    assert (await shell.json("replay", "show", job))["state"] == "undone"
    again = await shell.json("replay", "--id", "mill-1")
    assert again["published"] == 1
    people = await shell.run("replay", "show", str(again["job"]))
    assert (people[0], "1 published" in people[1]) == (0, True)


async def test_what_cannot_be_meant_is_refused(shell: Shell, tmp_path: Path) -> None:
    patch = tmp_path / "patch.json"
    patch.write_text('[{"op": "add", "path": "/seed", "value": 7}]')
    for args, says in (
        ((), "say which requests"),
        (("--all", "--rate", "fast"), "--rate"),
        (("--all", "--budget", "-3"), "--budget"),
        (("--all", "--from", "audit"), "structuring, validate-repair"),
        (("--all", "--budget", "5", "--budget", "7"), "another budget"),
        (("--all", "--patch", "missing.json"), "--patch missing.json"),
    ):
        status, _, err = await shell.run("replay", *args)
        assert (status, says in err) == (2, True), err
    for command in ("show", "resume", "pause", "stop", "undo"):
        status, _, err = await shell.run("replay", command, "999")
        assert (status, "no replay job 999" in err) == (1, True), err
