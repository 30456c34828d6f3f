"""With ``audit.store_prompts`` off: are there no words of people and models in database, log, spans and metrics?"""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import uuid
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import msgspec
import nats
import pytest

from tests.otlp_sink import OtlpSink
from tests.pipeline.shell import Shell, ask_plainly, audited, operate

MARKER = f"zq{uuid.uuid4().hex}"
WORDS = f"a forest where {MARKER} lives"
PLAYER = {"player_id": "ada", "choices": {MARKER: [MARKER]}}
NODE = {
    "id": "n1",
    "version": 1,
    "strategy": "per_player",
    "style": {"moodFrom": MARKER, "moodTo": MARKER},
    "constraints": {"contentRules": [f"{MARKER}law"]},
}
EVERYTHING: dict[str, Any] = {
    "prompt": WORDS,
    "tags": [MARKER],
    "player_context": PLAYER,
    "node": NODE,
    "scene_from": {"id": "s1", "title": MARKER, "mood": MARKER, "summary": MARKER},
    "social": {"trust": 20, "preferences": {"avoid_elements": [f"{MARKER}rain"]}},
    "workspace": "studio",
    "seed": 7,
}
SCHEMA = {
    "title": MARKER,
    "type": "object",
    "properties": {MARKER: {"type": "string", "description": MARKER}},
}
#: Id, kind, fields, and the status that the request ends with.
REQUESTS: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("good", "layout", EVERYTHING, "success"),
    ("again", "layout", EVERYTHING, "cached"),
    ("custom", "custom", {"prompt": WORDS, "schema": SCHEMA}, "success"),
    ("plot", "plot", {"prompt": WORDS}, "success"),
    (
        "missing",
        "layout",
        {"prompt": WORDS, "node": {"constraints": {"requiredElements": [f"{MARKER}lamp"]}}},
        "fail_fallback",
    ),
    ("bad", "layout", {"prompt": WORDS}, "fail_fallback"),
    ("bad-failed", "layout", {"prompt": WORDS, "fallback": {"mode": "none"}}, "fail_validation"),
    ("down", "layout", {"prompt": WORDS}, "fail_fallback"),
    ("hot", "layout", {"prompt": WORDS, "params": {"temperature": MARKER}, MARKER: 1}, "rejected"),
    ("warm", "layout", {"prompt": WORDS, "params": {"temperature": 9}}, "rejected"),
    ("ruled", "layout", {"prompt": WORDS, "rules": MARKER}, "rejected"),
)
RULES = [
    {
        "match": {"request_id": "bad*", "stage": "structuring"},
        "do": "malformed",
        "text": f'{{"name": {MARKER}',
    },
    {"match": {"request_id": "down"}, "do": "refuse", "text": f"no: {MARKER}"},
    {"match": {"stage": "freeform-gen"}, "do": "answer", "text": f"A hall with {MARKER} in it."},
]


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    opened = OtlpSink()
    yield opened
    opened.close()


class Pipeline:
    """A pipeline that was started with ``up``."""

    def __init__(self, shell: Shell, ready: dict[str, Any]) -> None:
        self.shell = shell
        self.ready = ready
        self.log = ""

    async def live(self) -> None:
        """Requests of every ending, and what is no request."""
        for request_id, kind, fields, status in REQUESTS:
            body = msgspec.json.encode(fields)
            found = await ask_plainly(self.ready["nats_url"], f"gen.requested.{kind}.{request_id}", body)
            assert found["status"] == status, (request_id, found["reason"])
        nc = await nats.connect(self.ready["nats_url"])
        await nc.jetstream().publish("gen.requested.layout.junk", f'{{"prompt": "{MARKER}'.encode())
        await nc.close()


@asynccontextmanager
async def started(folder: Path, **more: str) -> AsyncGenerator[Pipeline]:
    shell = Shell(folder / "data")
    script = folder / "script.json"
    script.write_text(json.dumps({"rules": RULES}), encoding="utf-8")
    shell.env |= {
        "UNDERSTUDY_SCRIPT": str(script),
        "USE_LOCAL_MODEL": "true",
        "UNDERSTUDY_LOG_LEVEL": "debug",
    }
    for kind in ("LAYOUT", "PLOT", "CUSTOM"):
        shell.env[f"UNDERSTUDY_NARRATIVE__PROVIDERS__{kind}"] = "scripted"
    shell.env |= more
    process = await shell.start("up", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    said = asyncio.create_task(process.stderr.read())
    line = await asyncio.wait_for(process.stdout.readline(), 90)
    pipeline = Pipeline(shell, json.loads(line))
    shell.nats_url, shell.nats_nkey = pipeline.ready["nats_url"], pipeline.ready["nats_nkey"]
    try:
        yield pipeline
    finally:
        process.send_signal(signal.SIGTERM)
        pipeline.log = (await asyncio.wait_for(said, 60)).decode()
        await process.wait()


def databases(folder: Path) -> dict[str, bytes]:
    """SQLite's files, those of its log included."""
    found = {file.name: file.read_bytes() for file in folder.rglob("*.db*") if file.is_file()}
    assert any(body.startswith(b"SQLite format 3") for body in found.values())
    return found


def refusals(folder: Path) -> list[str]:
    """Why requests of replay plans are refused, as stored."""
    (file,) = folder.rglob("understudy.db")
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT reason FROM replay_items WHERE state = 'refused' AND reason IS NOT NULL"
        return [row[0] for row in connection.execute(query)]


def marked(texts: dict[str, bytes]) -> list[str]:
    return [where for where, text in texts.items() if MARKER.encode() in text]


@pytest.mark.timeout(300)
async def test_no_words_are_kept(tmp_path: Path, sink: OtlpSink) -> None:
    settings = {"UNDERSTUDY_AUDIT__STORE_PROMPTS": "false", "UNDERSTUDY_TELEMETRY__OTLP_ENDPOINT": sink.url}
    async with started(tmp_path, **settings) as pipeline:
        shell = pipeline.shell
        await pipeline.live()
        good = await audited(shell, "good")
        hot = await shell.json("audit", "show", "hot")
        cooler = ("--set", "params.temperature=0.5")
        planned = await shell.run("dead", "replay", "--all", *cooler, "--dry-run", "--json")
        await shell.json("replay", "--id", "good", "--dry-run")
        letters = await shell.json("dead", "ls")
        async with httpx.AsyncClient() as http:
            metrics = (await http.get(f"{pipeline.ready['metrics_url']}/metrics")).content
        stored = databases(tmp_path)
        await shell.json("audit", "rebuild")
        rebuilt = databases(tmp_path)
        searches = [
            await shell.run("audit", "ls", "--text", "forest"),
            await shell.run("replay", "--text", "forest", "--dry-run"),
            await shell.run("rerun", "--text", "forest", "--dry-run"),
        ]
        answer = await asyncio.to_thread(
            httpx.get, f"{pipeline.ready['http_url']}/api/v1/generations", params={"q": "forest"}
        )
    ended = databases(tmp_path)

    assert marked(stored) == marked(rebuilt) == marked(ended) == []
    assert marked({"log": pipeline.log.encode(), "metrics": metrics}) == []
    assert all(request_id in pipeline.log for request_id, *_ in REQUESTS)
    assert "rejected hot (layout): params.temperature: sha256:" in pipeline.log
    assert b"understudy_results_total" in metrics
    assert {each.attributes["understudy.request_id"] for each in sink.spans} >= {"good", "hot"}
    assert marked({str(at): body for at, body in enumerate(sink.bodies)}) == []
    # What is no words is there.
    asked = good["record"]["asked"]
    assert asked["prompt"].endswith(f" ({len(WORDS)} characters)")
    assert (asked["parameters"]["seed"], asked["parameters"]["workspace"]) == (7, "studio")
    assert asked["parameters"]["player_context"]["player_id"] == "ada"
    assert asked["parameters"]["scene_from"]["id"] == "s1"
    assert good["record"]["end"]["result"]["content_left_out"] is True
    assert hot["error_message"].startswith("params.temperature: sha256:")
    assert [each for each in refusals(tmp_path) if "sha256:" in each]
    # A replay needs the message itself: the stream has it.
    assert planned[0] == 0
    assert MARKER in planned[1]
    assert any(MARKER in each["reason"] for each in letters)
    for status, out, err in searches[1:]:
        assert status != 0, out
        assert "the audit keeps no words" in err
    assert "the audit keeps no words" in searches[0][2]
    assert (answer.status_code, "the audit keeps no words" in answer.json()["detail"]) == (422, True)


@pytest.mark.timeout(300)
async def test_a_rebuild_replaces_words_that_were_kept(tmp_path: Path) -> None:
    async with started(tmp_path) as pipeline:
        shell = pipeline.shell
        await pipeline.live()
        await audited(shell, "good")
        assert marked(databases(tmp_path))
        nc = await operate(shell)
        # Some rows are older than the log.
        await nc.jetstream().purge_stream("REQUESTS", subject="gen.requested.layout.good")
        await nc.jetstream().purge_stream("EVENTS", subject="gen.*.layout.good")
        await nc.close()
        shell.env["UNDERSTUDY_AUDIT__STORE_PROMPTS"] = "false"
        done = await shell.json("audit", "rebuild")
        row = await shell.json("audit", "show", "good")
        status, _, gone = await shell.run("result", "good")
    assert done["redacted"] >= 1
    assert row["status"] == "success"
    assert row["record"]["asked"]["prompt"].startswith("sha256:")
    assert status != 0
    assert "not to be stored (audit.store_prompts)" in gone
    assert marked(databases(tmp_path)) == []
