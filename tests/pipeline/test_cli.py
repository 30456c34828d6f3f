"""Does the command line work against the pipeline that it started itself?"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import pytest
import pytest_asyncio

from contracts.kinds import KINDS
from infra.nats import topology
from infra.nats.embedded import Embedded
from infra.settings.settings import load
from tests.import_path import IMPORT_PATH

_ROOT = Path(__file__).parents[2]
_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Shell:
    """Runs ``understudy`` in one data folder."""

    def __init__(self, folder: Path) -> None:
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("UNDERSTUDY_", "USE_LOCAL"))
        } | {
            "UNDERSTUDY_DATA_DIR": str(folder),
            "UNDERSTUDY_BROKER__SYNC_INTERVAL": "2m",
            "PYTHONPATH": IMPORT_PATH,
        }
        self.nats_url = ""

    async def start(self, *args: str) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "infra.cli", *args, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=self.env
        )

    async def run(self, *args: str, stdin: str = "") -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        process = await self.start(*args)
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        return process.returncode, out.decode(), err.decode()

    async def json(self, *args: str, stdin: str = "") -> Any:
        """The one JSON value that a command prints when all is well."""
        status, out, err = await self.run(*args, "--json", stdin=stdin)
        assert status == 0, err
        return json.loads(out)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shell(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    """A pipeline without a model, started with ``up``; it ends with status 0."""
    folder = tmp_path_factory.mktemp("cli")
    shell = Shell(folder)
    with socket.socket() as probe:
        # Free just now; whoever takes it first makes the broker choose another.
        probe.bind(("127.0.0.1", 0))
        shell.env["UNDERSTUDY_BROKER__PORT"] = str(probe.getsockname()[1])
    process = await shell.start("up", "--json")
    assert process.stdout is not None
    async with asyncio.timeout(60):
        ready = json.loads(await process.stdout.readline())
    assert ready["ready"] is True
    shell.nats_url = ready["nats_url"]
    assert json.loads((folder / "runtime.json").read_bytes())["nats_url"] == shell.nats_url
    yield shell
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert not (folder / "runtime.json").exists()


async def _ask_plainly(url: str, subject: str, body: bytes) -> dict[str, Any]:
    """Publish with nats-py alone, and wait for the result."""
    _, _, kind, request_id = subject.split(".")
    nc = await nats.connect(url)
    results = await nc.subscribe(f"gen.result.{kind}.{request_id}")
    await nc.jetstream().publish(subject, body)
    result = await results.next_msg(timeout=30)
    await nc.close()
    return json.loads(result.data)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "custom"])
async def test_request_prints_the_one_result(shell: Shell, kind: str) -> None:
    result = await shell.json("request", "a forest", "--kind", kind, "--wait")
    assert (result["kind"], result["status"], result["origin"]) == (kind, "cached_fallback", "golden_sample")
    assert result["reason"]
    assert result["stand_in"]["name"]
    assert result["content"]


async def test_request_without_wait_prints_where_it_went(shell: Shell) -> None:
    told = await shell.json("request", "a forest", "--id", "somewhere")
    assert told == {"request_id": "somewhere", "kind": "layout", "subject": "gen.requested.layout.somewhere"}


async def test_request_reads_a_body_from_standard_input(shell: Shell) -> None:
    body = json.dumps({"prompt": "a number", "schema": _SCHEMA})
    result = await shell.json("request", "--file", "-", "--kind", "custom", "--wait", stdin=body)
    assert (result["status"], result["origin"]) == ("placeholder", "placeholder")


async def test_a_result_that_nobody_can_use_exits_1(shell: Shell) -> None:
    body = json.dumps({"prompt": "a forest", "fallback": {"mode": "none"}})
    status, out, _ = await shell.run("request", "--file", "-", "--wait", "--json", stdin=body)
    assert (status, json.loads(out)["status"]) == (1, "failed")


async def test_many_requests_have_ids_of_their_own_and_a_result_each(shell: Shell) -> None:
    status, out, err = await shell.run("request", "a forest", "--count", "40", "--wait", "--json")
    results = [json.loads(line) for line in out.splitlines()]
    assert status == 0, err
    assert len({result["request_id"] for result in results}) == 40
    assert {result["status"] for result in results} == {"cached_fallback"}


async def test_people_get_a_summary_of_many(shell: Shell) -> None:
    status, out, _ = await shell.run("request", "a forest", "--count", "5", "--wait")
    assert status == 0
    assert "cached_fallback (golden_sample)" in out


async def test_content_is_printed_whole_and_can_be_copied(shell: Shell) -> None:
    """However narrow the terminal is."""
    whole = await shell.json("request", "a forest", "--id", "whole", "--wait")
    narrow = shell.env | {"COLUMNS": "40"}
    told: list[tuple[str, str]] = []
    for args in (("result", "whole"), ("wait", "whole"), ("request", "a forest", "--id", "whole", "--wait")):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "infra.cli", *args, stdout=PIPE, stderr=PIPE, env=narrow
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        told.append((out.decode(), err.decode()))
    assert json.loads(told[0][0]) == whole["content"]
    assert "cached_fallback (golden_sample)" in told[0][1]
    for out, _ in told[1:]:
        label, brace, content = out.partition("\n{")
        assert json.loads(brace + content) == whole["content"]
        assert "cached_fallback (golden_sample)" in label


async def test_a_result_is_read_as_a_program_reads_it(shell: Shell) -> None:
    asked = await shell.json("request", "a forest", "--id", "read", "--wait")
    assert await shell.json("result", "read") == asked
    assert await shell.json("result", "read", "--wait") == asked
    assert await shell.json("wait", "read") == asked
    body = json.dumps({"prompt": "a forest", "fallback": {"mode": "none"}})
    await shell.run("request", "--file", "-", "--id", "unusable", stdin=body)
    for command in (("wait", "unusable"), ("result", "unusable"), ("result", "unusable", "--wait")):
        status, out, _ = await shell.run(*command, "--json")
        assert (status, json.loads(out)["status"]) == (1, "failed")


async def test_an_id_of_another_request_gives_nothing_of_it_away(shell: Shell) -> None:
    await shell.json("request", "two thieves", "--kind", "dialogue", "--id", "mine", "--wait")
    for args in (("a castle", "--kind", "layout"), ("three thieves", "--kind", "dialogue")):
        for wait in ((), ("--wait",), ("--wait", "--json")):
            status, out, err = await shell.run("request", *args, "--id", "mine", *wait)
            assert (status, out) == (1, "")
            assert "the id mine was used for a dialogue request" in err
    # The same again is the same request.
    again = await shell.json("request", "two thieves", "--kind", "dialogue", "--id", "mine", "--wait")
    assert again["kind"] == "dialogue"


async def test_words_of_strangers_are_shown_and_not_obeyed(shell: Shell) -> None:
    """In every listing: in a field's name, in a prompt, in a header."""
    trick = "\x1b]0;owned\x07 \x9b31m \u202egpj \u200b"
    result = await _ask_plainly(
        shell.nats_url,
        "gen.requested.layout.trick-1",
        json.dumps({"prompt": "x", trick: 1}, ensure_ascii=False).encode(),
    )
    assert result["status"] == "rejected"
    assert result["reason"].isprintable()
    await _ask_plainly(
        shell.nats_url,
        "gen.requested.layout.trick-2",
        json.dumps({"prompt": trick}, ensure_ascii=False).encode(),
    )
    letter = str((await _letter(shell, "trick-1"))["sequence"])
    await _audited(shell, "trick-2")
    for command in (
        ("tail", "--no-follow", "--id", "trick-*"),
        ("why", "trick-1"),
        ("why", "trick-2"),
        ("result", "trick-1"),
        ("result", "trick-2", "--json"),
        ("dead", "ls"),
        ("dead", "show", letter),
        ("dead", "replay", letter),
        ("audit", "ls"),
        ("audit", "show", "trick-1"),
        ("audit", "show", "trick-2"),
        ("audit", "show", "trick-2", "--json"),
        ("tail", "--no-follow", "--id", "trick-2", "--json"),
    ):
        _, out, err = await shell.run(*command)
        assert [each for each in out + err if not each.isprintable() and each != "\n"] == [], command


async def test_why_tells_the_story_of_a_plain_request(shell: Shell) -> None:
    result = await _ask_plainly(shell.nats_url, "gen.requested.plot.plain-1", b'{"prompt": "a heist"}')
    # A subscriber hears of a result before it is stored; a waiting client reads it from the log.
    await shell.json("request", "later", "--wait")
    told = await shell.json("why", "plain-1")
    assert (told["status"], told["origin"], told["reason"]) == (
        result["status"],
        result["origin"],
        result["reason"],
    )
    assert told["error"]["code"] == "GEN_PROVIDER_DISABLED"
    events = [event["event"] for event in told["events"] if event["event"] != "timer"]
    assert events == ["requested", "context_built", "failed", "result"]
    status, out, _ = await shell.run("why", "plain-1")
    assert status == 0
    assert "GEN_PROVIDER_DISABLED" in out


async def test_an_unknown_id_exits_1(shell: Shell) -> None:
    for command in ("why", "cancel", "result", "wait"):
        status, out, err = await shell.run(command, "nobody", "--json")
        assert (status, out) == (1, "")
        assert "nobody" in err
        assert shell.nats_url in err
        assert "Nats-Msg-Id" in err


async def test_cancelling_what_has_ended_changes_nothing(shell: Shell) -> None:
    await shell.json("request", "a forest", "--id", "ended", "--wait")
    told = await shell.json("cancel", "ended")
    assert (told["kind"], told["subject"], told["status"]) == (
        "layout",
        "gen.cancelled.layout.ended",
        "cached_fallback",
    )


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
    async with asyncio.timeout(30):
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
        async with asyncio.timeout(30):
            _, err = await tail.communicate()
        assert (tail.returncode, err) == (0, b"")


async def test_a_dead_letter_is_listed_shown_replayed_once_and_dropped(shell: Shell) -> None:
    await shell.json("request", "a forest", "--id", "twice", "--wait")
    nc = await nats.connect(shell.nats_url)
    await nc.jetstream().publish("gen.requested.layout.twice", b'{"prompt": "a desert"}')
    await nc.close()
    letter = await _letter(shell, "twice")
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
    result = await _ask_plainly(shell.nats_url, "gen.requested.layout.torn-1", b"\xff\xfe")
    assert result["status"] == "rejected"
    letter = await _letter(shell, "torn-1")
    status, out, _ = await shell.run("dead", "replay", str(letter["sequence"]), "--json")
    said = json.loads(out)
    assert (status, said["outcome"]) == (1, "unreplayable")
    assert "JSON" in said["reason"]


async def _letter(shell: Shell, request_id: str) -> dict[str, Any]:
    """The letter of a request, when it is there."""
    nc = await nats.connect(shell.nats_url)
    letters = await nc.jetstream().subscribe(f"dead.*.*.{request_id}", stream="DEAD", ordered_consumer=True)
    await letters.next_msg(timeout=30)
    await nc.close()
    (letter,) = await shell.json("dead", "ls", "--id", request_id)
    return letter


async def test_the_audit_lists_shows_and_rebuilds(shell: Shell) -> None:
    result = await shell.json("request", "a forest", "--id", "audited", "--wait")
    row = await _audited(shell, "audited")
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


async def _audited(shell: Shell, request_id: str) -> dict[str, Any]:
    """The audit's row once it is complete: audit has acknowledged all there is."""
    nc = await nats.connect(shell.nats_url)
    js = nc.jetstream()
    async with asyncio.timeout(30):
        for stream in ("REQUESTS", "EVENTS"):
            info = await js.consumer_info(stream, "audit")
            while info.num_pending or info.num_ack_pending:
                info = await js.consumer_info(stream, "audit")
    await nc.close()
    return await shell.json("audit", "show", request_id)


async def test_topology_and_samples_are_in_order(shell: Shell) -> None:
    assert await shell.json("topology", "check") == []
    assert await shell.json("topology", "apply") == []
    rows = await shell.json("samples", "check")
    assert rows
    assert all(row["ok"] for row in rows)


async def test_doctor_prints_one_object(shell: Shell) -> None:
    _, out, _ = await shell.run("doctor", "--json")
    found = json.loads(out)
    assert found["ok"] == all(check["ok"] for check in found["checks"])
    assert {"broker", "database", "topology"} <= {check["check"] for check in found["checks"]}


async def test_the_demo_keeps_every_claim(shell: Shell) -> None:
    # In a terminal of any width, with whatever settings of others around it.
    shell.env |= {"COLUMNS": "100"}
    status, out, err = await shell.run("demo")
    assert status == 0, out + err
    assert "✗" not in out
    assert out.count("✓") > 10


async def test_template_rules_node_and_context_make_one_request_and_why_names_the_rule(
    shell: Shell, tmp_path: Path
) -> None:
    rules, node, context = (tmp_path / name for name in ("quest.rules", "node.yaml", "player.json"))
    rules.write_text("IF player_choice.quest_accept == true\n  THEN moodTo = determined\nINCLUDE door\n")
    node.write_text("style:\n  pacing: slow\n")
    context.write_text(json.dumps({"player_choice": {"quest_accept": True}, "playthroughId": "pt-3"}))
    options = ("--template", "romantic_to_action_transition_v1", "--rules", str(rules))
    more = ("--node", str(node), "--context", str(context), "--id", "templated-1", "--wait")
    result = await shell.json("request", "They dance on the roof.", *options, *more)
    assert (result["kind"], result["status"]) == ("transition", "cached_fallback")
    assert result["stand_in"]["name"] == "transition_01.json"

    told = (await shell.json("why", "templated-1"))["decided"]
    by = {(each["field"], each["by"], each["line"]): each["value"] for each in told}
    assert by["style.mood_to", "rules", 2] == "determined"
    assert by["style.pacing", "node", None] == "slow"
    assert by["constraints.required_elements", "rules", 3] == "door"
    assert by["duration.target", "template", None] == 30
    status, out, _ = await shell.run("why", "templated-1")
    assert status == 0
    assert any(
        line.split()[:5] == ["style.mood_to", "rules,", "line", "2", "determined"]
        for line in out.splitlines()
    )


async def test_a_broker_that_is_gone_for_good_ends_the_wait(tmp_path: Path) -> None:
    """With its own broker: killed while `request --wait` and `wait` wait for what nobody will answer."""
    settings = load(data_dir=tmp_path / "data", nats_url=None)
    async with Embedded(tmp_path / "own", sync_interval="2m") as broker:
        await topology.apply_at(broker.url, settings)
        shell = Shell(tmp_path)
        shell.env["UNDERSTUDY_NATS_URL"] = broker.url.replace("//", "//somebody:s3cret@")
        nc = await nats.connect(broker.url)
        # Each of them looks into the log from time to time: who has done so twice is waiting.
        looks = await nc.subscribe("$JS.API.DIRECT.GET.EVENTS")
        asking = await shell.start(
            "request", "a forest", "--id", "lost-1", "--wait", "--deadline-ms", "1", "--json"
        )
        by: Counter[str] = Counter([(await looks.next_msg(timeout=30)).reply.rpartition(".")[0]])
        waiting = await shell.start("wait", "lost-1", "--timeout", "5s")
        while len(by) < 2 or min(by.values()) < 2:
            by[(await looks.next_msg(timeout=30)).reply.rpartition(".")[0]] += 1
        await nc.close()
        tail = await shell.start("tail")
        assert tail.stderr is not None
        await tail.stderr.readline()
        os.kill(broker.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            lost = await tail.stderr.readline()
            ended = [(await each.communicate(), each.returncode) for each in (asking, waiting)]
        tail.send_signal(signal.SIGINT)
        await tail.communicate()
    assert b"lost the broker at" in lost
    for (out, err), status in ended:
        assert (status, out) == (3, b""), err.decode()
        assert b"Traceback" not in err
        assert f"lost the broker at {broker.url} while waiting".encode() in err
        assert b"the request is safe: `understudy wait lost-1`" in err
        assert b"s3cret" not in err
    assert tail.returncode == 0
