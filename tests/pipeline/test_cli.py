"""Requests from the command line, against a pipeline that it started itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from pathlib import Path

import nats
import pytest

from contracts.kinds import KINDS
from infra.nats import topology
from infra.nats.embedded import Embedded
from infra.settings.settings import load
from tests.pipeline.shell import Shell, ask_plainly, audited, letter_of

#: The command line with less than half a minute for a broker that is away.
_IMPATIENT = (
    "-c",
    "from understudy_client import client; client.LOST_S = 3.0; from infra.cli import main; main()",
)
_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

pytestmark = pytest.mark.asyncio(loop_scope="session")


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
    told: list[tuple[str, str]] = []
    for args in (("result", "whole"), ("wait", "whole"), ("request", "a forest", "--id", "whole", "--wait")):
        status, out, err = await shell.run(*args, COLUMNS="40")
        assert status == 0, err
        told.append((out, err))
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


async def test_a_result_is_drawn_into_a_file(shell: Shell, tmp_path: Path) -> None:
    asked = await shell.json("request", "a forest", "--id", "drawn", "--wait")
    picture = tmp_path / "level.svg"
    status, out, err = await shell.run("result", "drawn", "--picture", str(picture), "--theme", "dark")
    assert (status, out) == (0, "")
    assert f"picture: {picture}" in err
    drawn = picture.read_text(encoding="utf-8")
    assert f"stand-in: golden sample {asked['stand_in']['name']}" in drawn
    assert 'class="us-picture us-dark"' in drawn
    image = tmp_path / "level.png"
    assert (await shell.json("result", "drawn", "--picture", str(image)))["request_id"] == "drawn"
    assert image.read_bytes().startswith(b"\x89PNG")
    for wrong in (["--picture", "level.jpg"], ["--theme", "dark"], ["--picture", "x.svg", "--theme", "blue"]):
        assert (await shell.run("result", "drawn", *wrong))[0] == 2
    assert (await shell.run("result", "drawn", "--picture", str(tmp_path / "none" / "x.svg")))[0] == 2


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
    result = await ask_plainly(
        shell.nats_url,
        "gen.requested.layout.trick-1",
        json.dumps({"prompt": "x", trick: 1}, ensure_ascii=False).encode(),
    )
    assert result["status"] == "rejected"
    assert result["reason"].isprintable()
    await ask_plainly(
        shell.nats_url,
        "gen.requested.layout.trick-2",
        json.dumps({"prompt": trick}, ensure_ascii=False).encode(),
    )
    letter = str((await letter_of(shell, "trick-1"))["sequence"])
    await audited(shell, "trick-2")
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
        ("compare", "trick-1", "trick-2"),
        ("preview", trick, "--kind", "layout"),
        ("cancel", "trick-2"),
        ("dead", "ls", "--groups"),
        ("cache", "ls"),
        ("cache", "show", trick),
        ("stats", "--by", trick),
        ("replay", "ls"),
        ("tokens", "ls"),
        ("doctor",),
        ("purge", "--player", trick, "--dry-run"),
        ("purge", "--id", "trick-2", "--dry-run"),
        ("purge", "--id", "trick-2", "--dry-run", "--json"),
    ):
        _, out, err = await shell.run(*command)
        assert out or err, command
        assert [each for each in out + err if not each.isprintable() and each != "\n"] == [], command


async def test_why_tells_the_story_of_a_plain_request(shell: Shell) -> None:
    result = await ask_plainly(shell.nats_url, "gen.requested.plot.plain-1", b'{"prompt": "a heist"}')
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
    for command in (
        *(("why",), ("cancel",), ("result",)),
        *(("wait", "--timeout", "100ms"), ("result", "--wait", "--timeout", "100ms")),
    ):
        status, out, err = await shell.run(*command, "nobody", "--json")
        assert (status, out) == (1, "")
        assert "nobody" in err
        assert shell.nats_url in err
        assert "Nats-Msg-Id" in err


async def test_a_request_is_awaited_before_it_is_published(shell: Shell) -> None:
    waiting = await shell.start("wait", "late-1", "--timeout", "5m", "--json")
    async with asyncio.timeout(60):
        assert waiting.stderr is not None
        said = (await waiting.stderr.readline()).decode()
        asked = await shell.json("request", "a forest", "--id", "late-1", "--wait")
        out, _ = await waiting.communicate()
    assert "no request late-1 in the event log" in said
    assert "waiting up to 300 s" in said
    assert (waiting.returncode, json.loads(out)) == (0, asked)


async def test_cancelling_what_has_ended_changes_nothing(shell: Shell) -> None:
    await shell.json("request", "a forest", "--id", "ended", "--wait")
    told = await shell.json("cancel", "ended")
    assert (told["kind"], told["subject"], told["status"]) == (
        "layout",
        "gen.cancelled.layout.ended",
        "cached_fallback",
    )


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
        looks = await nc.subscribe("$JS.API.DIRECT.GET.EVENTS.>")
        asking = await shell.start(
            *("request", "a forest", "--id", "lost-1", "--wait", "--deadline-ms", "1", "--json"),
            program=_IMPATIENT,
        )
        by: Counter[str] = Counter([(await looks.next_msg(timeout=30)).reply.rpartition(".")[0]])
        waiting = await shell.start("wait", "lost-1", "--timeout", "5m", program=_IMPATIENT)
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
