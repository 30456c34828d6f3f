"""What the command line shows of a pipeline that it started itself: tail, letters, audit, checks, the demo."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE

import nats
import pytest

from tests.pipeline.shell import Shell, ask_plainly, audited, letter_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_tail_shows_the_past_of_one_request(shell: Shell) -> None:
    await shell.json("request", "a forest", "--id", "watched", "--wait")
    status, out, _ = await shell.run("tail", "--id", "watched", "--no-follow", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert set(lines[0]) == {"seq", "time", "subject", "event", "kind", "request_id", "stage", "data"}
    assert {line["request_id"] for line in lines} == {"watched"}
    assert [line["event"] for line in lines if line["event"] != "timer"] == [
        "requested",
        "context_built",
        "failed",
        "result",
    ]
    status, out, _ = await shell.run("tail", "gen.result.>", "--no-follow", "--since", "1h")
    assert status == 0
    assert "watched" in out
    assert "context_built" not in out


async def test_tail_follows_until_interrupted(shell: Shell) -> None:
    tail = await shell.start("tail", "--id", "live", "--json")
    assert tail.stdout is not None
    await shell.json("request", "a forest", "--id", "live", "--wait")
    events: list[str] = []
    async with asyncio.timeout(60):
        while "result" not in events:
            events.append(json.loads(await tail.stdout.readline())["event"])
        tail.send_signal(signal.SIGINT)
        _, err = await tail.communicate()
    assert events[0] == "requested"
    assert tail.returncode == 0
    assert err.decode() == f"watching everything of live at {shell.nats_url}; Ctrl-C ends it\n"


async def test_a_tail_that_finds_nothing_says_so(shell: Shell) -> None:
    for extra in (("--id", "nobody"), ("--since", "1ms"), ("--id", "nobody-*"), ("--code", "GEN_POISON")):
        status, out, err = await shell.run("tail", "--no-follow", *extra)
        assert (status, out) == (0, "")
        assert "nothing" in err


async def test_a_tail_filters_by_part_of_an_id_status_and_code(shell: Shell) -> None:
    for each in ("wave-1", "wave-2", "other-1"):
        await shell.json("request", "a forest", "--id", each, "--wait")
    filters = ("--id", "wave-*", "--status", "cached_fallback", "--code", "GEN_PROVIDER_DISABLED")
    status, out, _ = await shell.run("tail", "--no-follow", "--json", *filters)
    found = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert sorted((each["event"], each["request_id"]) for each in found) == [
        ("result", "wave-1"),
        ("result", "wave-2"),
    ]


async def test_a_closed_pipe_ends_tail_quietly(shell: Shell) -> None:
    await shell.json("request", "a forest", "--wait")
    for extra in ((), ("--json",)):
        read, write = os.pipe()
        os.close(read)
        tail = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "infra.cli",
            "tail",
            "--no-follow",
            *extra,
            stdout=write,
            stderr=PIPE,
            env=shell.env,
        )
        os.close(write)
        async with asyncio.timeout(60):
            _, err = await tail.communicate()
        assert (tail.returncode, err) == (0, b"")


async def test_a_dead_letter_is_listed_shown_replayed_once_and_dropped(shell: Shell) -> None:
    await shell.json("request", "a forest", "--id", "twice", "--wait")
    nc = await nats.connect(shell.nats_url)
    await nc.jetstream().publish("gen.requested.layout.twice", b'{"prompt": "a desert"}')
    await nc.close()
    letter = await letter_of(shell, "twice")
    assert (letter["stage"], letter["code"]) == ("context-build", "GEN_INVALID_REQUEST")
    name = str(letter["sequence"])
    assert (await shell.json("dead", "show", name))["payload"] == {"prompt": "a desert"}
    planned = await shell.json("dead", "replay", name, "--dry-run")
    assert (planned["outcome"], planned["body"]) == ("would_publish", {"prompt": "a desert"})
    replayed = await shell.json("dead", "replay", name)
    assert (replayed["outcome"], replayed["request_id"]) == ("published", f"rp-{name}-1")
    status, out, _ = await shell.run("dead", "replay", name, "--json")
    assert (status, json.loads(out)["outcome"]) == (1, "already_replayed")
    again = await shell.json("dead", "replay", "--id", "twice", "--again")
    assert again["request_id"] == f"rp-{name}-2"
    assert (await shell.json("dead", "drop", name, "--yes"))["outcome"] == "dropped"
    status, _, err = await shell.run("dead", "show", name)
    assert status == 1
    assert name in err


async def test_a_letter_that_cannot_be_replayed_says_why(shell: Shell) -> None:
    result = await ask_plainly(shell.nats_url, "gen.requested.layout.torn-1", b"\xff\xfe")
    assert result["status"] == "rejected"
    letter = await letter_of(shell, "torn-1")
    status, out, _ = await shell.run("dead", "replay", str(letter["sequence"]), "--json")
    said = json.loads(out)
    assert (status, said["outcome"]) == (1, "unreplayable")
    assert "JSON" in said["reason"]


async def test_the_audit_lists_shows_and_rebuilds(shell: Shell) -> None:
    result = await shell.json("request", "a forest", "--id", "audited", "--wait")
    row = await audited(shell, "audited")
    assert (row["request_id"], row["status"], row["error_code"]) == (
        "audited",
        "cached_fallback",
        result["error"]["code"],
    )
    assert "audited" in {each["request_id"] for each in await shell.json("audit", "ls", "--limit", "1000")}
    assert len(await shell.json("audit", "ls", "--limit", "2")) == 2
    every = await shell.json("audit", "ls")
    status, out, err = await shell.run("audit", "ls", "--limit", "2")
    assert (status, len(out.splitlines())) == (0, 3)
    assert f"… {len(every) - 2:,} older not shown" in err
    found = await shell.json(
        "audit", "ls", "--id", "audit*", "--code", "GEN_PROVIDER_DISABLED", "--text", "FOREST"
    )
    assert [each["request_id"] for each in found] == ["audited"]
    rebuilt = await shell.json("audit", "rebuild")
    assert rebuilt["requests"] > 0
    assert (await shell.json("audit", "show", "audited"))["status"] == "cached_fallback"
    status, _, err = await shell.run("audit", "show", "nobody")
    assert status == 1
    assert "nobody" in err


async def test_topology_and_samples_are_in_order(shell: Shell) -> None:
    assert await shell.json("topology", "check") == []
    assert await shell.json("topology", "apply") == []
    rows = await shell.json("samples", "check")
    assert rows
    assert all(row["ok"] for row in rows)


async def test_a_preview_is_what_then_happens(shell: Shell) -> None:
    node = {
        "generationType": "transition",
        "purpose": "gap_fill",
        "strategy": "once",
        "style": {"moodTo": "calm"},
    }
    body = json.dumps({"prompt": "they leave the city", "tags": ["night"], "node": node})
    told = await shell.json("preview", "-", stdin=body)
    result = await shell.json("request", "--file", "-", "--wait", stdin=body)
    meta, stand_in = result["meta"], told["stand_in"]
    assert (stand_in["status"], stand_in["origin"], stand_in["reason"], stand_in["name"]) == (
        *(result[name] for name in ("status", "origin", "reason")),
        result["stand_in"]["name"],
    )
    assert (told["kind"], told["seed"], told["prompt_hash"], told["prompt_version"], told["cache_key"]) == (
        *(result["kind"], meta["seed"]),
        *(meta[name] for name in ("prompt_hash", "prompt_version", "cache_key")),
    )
    assert told["warnings"] == meta["warnings"]


async def test_doctor_prints_one_object(shell: Shell) -> None:
    _, out, _ = await shell.run("doctor", "--json")
    found = json.loads(out)
    assert found["ok"] == all(check["ok"] for check in found["checks"])
    assert {"broker", "database", "topology"} <= {check["check"] for check in found["checks"]}


async def test_the_demo_keeps_every_claim(shell: Shell) -> None:
    # In a terminal of any width, with whatever settings of others around it.
    shell.env |= {"COLUMNS": "100"}
    status, out, err = await shell.run_process("demo")
    assert status == 0, out + err
    assert "✗" not in out
    assert out.count("✓") > 10
