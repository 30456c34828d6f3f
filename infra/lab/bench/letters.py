"""Benchmark of many dead letters: a replay job that is killed, paused and resumed repeats nothing, and its undo restores all.

Everything is done as a user does it: `understudy up` in an empty folder with the scripted provider, commands, a plain NATS
subscriber.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from contracts import events as ev
from contracts import pipeline, timestamp
from contracts.errors import ErrorCode
from infra.lab.bench.user import COMMAND_S, Checks, Say, User, wait_until, working
from infra.nats import log, submissions
from infra.nats.atomic import Publication
from infra.nats.submissions import Submission

KIND: Final = "scene"
#: Messages that are published at once.
AT_ONCE: Final = 500
#: Which stage reads an event.
_READERS: Final = {"requested": "context-build", "context_built": "freeform-gen", "drafted": "structuring"}
_TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_NAME: Final = "deep-"
#: Most requests per second of the runs that are killed and paused in the middle.
_RATE: Final = 1_000
SETTINGS: Final = {"USE_LOCAL_MODEL": "true", "NARRATIVE__PROVIDER": "scripted"}


async def run(*, letters: int, say: Say) -> dict[str, Any]:
    """Go through it; the figures, and whether every count is right.

    Args:
        letters: dead letters, each of another request that has content and a cache entry.
        say: shows progress.
    """
    checks = Checks(say)
    async with working(**SETTINGS) as user:
        await _Letters(user, checks, letters).go_through()
    return checks.report()


async def publish_requests(user: User, requests: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
    """Publish requests, as fast as the pipeline takes them.

    Args:
        user: the user.
        requests: by id, kind and body.
    """
    now = timestamp.format_s(time.time())
    items = [
        submissions.request(kind, name, msgspec.json.encode(body), time=now, traceparent=_TRACE)
        for name, (kind, body) in requests.items()
    ]
    for start in range(0, len(items), AT_ONCE):
        states = await submissions.submit_all(user.client.wire, items[start : start + AT_ONCE])
        if set(states) != {Submission.STORED}:
            raise RuntimeError(f"requests were not stored: {Counter(states)}")


async def publish_letters(user: User, letters: Sequence[Publication]) -> None:
    """Publish dead letters, as stages do."""
    for start in range(0, len(letters), AT_ONCE):
        some = letters[start : start + AT_ONCE]
        await asyncio.gather(*(user.client.wire.publish(each.subject, each.body) for each in some))


def make_letter(
    request_id: str, kind: str, *, event: str = "context_built", body: bytes | None = None, size: int = 0
) -> Publication:
    """The letter of a stage that gave up a message.

    Args:
        request_id: of the request.
        kind: its kind.
        event: of the message.
        body: of the message.
        size: of a body that is too large for a letter.
    """
    stage = _READERS[event]
    letter = ev.DeadLetter(
        code=ErrorCode.GEN_POISON,
        reason="it ended its worker",
        stage=stage,
        stream="REQUESTS" if event == "requested" else "EVENTS",
        sequence=1,
        subject=f"gen.{event}.{kind}.{request_id}",
        time_ms=1,
        deliveries=4,
        body=body,
        size=size,
    )
    return Publication(subject=f"dead.{stage}.{kind}.{request_id}", body=msgspec.json.encode(letter))


def count_statuses(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, int]:
    """Results by status."""
    return dict(Counter(each["status"] for found in results.values() for each in found))


class _Letters:
    """One run through the letters."""

    def __init__(self, user: User, checks: Checks, letters: int) -> None:
        self._user = user
        self._checks = checks
        self._bodies = {
            f"{_NAME}{number}": {
                "prompt": f"A well with step {number}",
                "deadline_ms": 3_600_000,
                "node": {"id": f"step-{number}", "strategy": "once"},
            }
            for number in range(1, letters + 1)
        }

    async def go_through(self) -> None:
        checks, heard, many = self._checks, self._user.subscriber, len(self._bodies)
        await heard.listen("requested", "result", "revised")
        patience_s = COMMAND_S + many / 20
        began_s = time.monotonic()
        await publish_requests(self._user, {name: (KIND, body) for name, body in self._bodies.items()})
        await wait_until(lambda: len(heard.heard["result"]) >= many, timeout_s=patience_s)
        await self._user.settle(patience_s)
        checks.note("requests per second of the pipeline", round(many / (time.monotonic() - began_s)))
        checks.expect("results before", count_statuses(heard.of("result")), {"success": many})
        before = await self._user.read_cache()
        checks.expect("cache entries before", len(before), many)
        await publish_letters(self._user, [make_letter(name, KIND) for name in self._bodies])
        heard.forget()
        job, replays = await self._plan(1)
        await self._replay(job, replays, patience_s)
        replaced = await self._user.read_cache()
        checks.expect(
            "entries of the replays in the cache",
            sum(_find_maker(body) in replays.values() for body, _ in replaced.values()),
            many,
        )
        await self._undo(job, replays, before)

    async def _plan(self, number: int) -> tuple[int, dict[str, str]]:
        """Plan the replay of every letter: the job, and by request the id of its replay."""
        many, began_s = len(self._bodies), time.monotonic()
        plan = await self._user.run("dead", "replay", "--id", f"{_NAME}*", "--dry-run", "--json")
        self._checks.note(f"seconds of dry run {number}", round(time.monotonic() - began_s, 1))
        states = Counter(each["outcome"] for each in plan.lines)
        self._checks.expect(f"outcomes of dry run {number}", dict(states), {"would_publish": many})
        replays = {each["replay_of"]: each["request_id"] for each in plan.lines}
        numbers = Counter(each.rpartition("-")[2] for each in replays.values())
        self._checks.expect(f"number of the replay in dry run {number}", dict(numbers), {str(number): many})
        (job, *_) = await self._user.run_json("replay", "ls")
        return int(job["job"]), replays

    async def _replay(self, job: int, replays: Mapping[str, str], patience_s: float) -> None:
        checks, heard, many = self._checks, self._user.subscriber, len(self._bodies)
        # Without a rate a batch of 500 goes at once.
        rate = f"{max(10, min(_RATE, many // 16))}/s"
        process = await self._user.start("replay", "resume", str(job), "--rate", rate, "--json")
        await wait_until(lambda: len(heard.heard["requested"]) >= many // 5, timeout_s=patience_s)
        process.send_signal(signal.SIGKILL)
        await process.communicate()
        await asyncio.sleep(0.5)
        killed_at = len(heard.heard["requested"])
        checks.require("killed in the middle", holds=0 < killed_at < many)
        await self._user.run("replay", "pause", str(job), "--json")
        process = await self._user.start("replay", "resume", str(job), "--rate", rate, "--json")
        await wait_until(
            lambda: len(heard.heard["requested"]) >= (killed_at + many) // 2, timeout_s=patience_s
        )
        await self._user.run_json("replay", "pause", str(job))
        out, _ = await process.communicate()
        paused = json.loads(out)
        checks.expect(
            "paused in the middle",
            (paused["state"], 0 < paused["published"] < many - killed_at),
            ("paused", True),
        )
        report = await self._user.run_json("replay", "resume", str(job), "--rate", "100000/s")
        checks.expect("resumed", report["state"], "done")
        checks.expect(
            "published by the three runs", killed_at + paused["published"] + report["published"], many
        )
        checks.note(
            "published by a killed run, which had not recorded it", paused["refused"] + report["refused"]
        )
        checks.note("requests per second of the last run", round(report["published"] / report["seconds"]))
        await wait_until(lambda: len(heard.heard["revised"]) >= many, timeout_s=patience_s)
        await self._user.settle(patience_s)
        asked = heard.of("requested")
        checks.require(
            "requests on the wire are those of the plan", holds=set(asked) == set(replays.values())
        )
        # A plain subscriber sees a publish that the stream refuses because admission leaves no room, and its repetition.
        checks.note("publishes refused for want of room", sum(map(len, asked.values())) - len(asked))
        wrong = [
            name
            for name, replay in replays.items()
            if {key: value for key, value in asked.get(replay, [{}])[0].items() if key != "replay_of"}
            != self._bodies[name]
        ]
        checks.expect("requests that carry another one's body", wrong[:5], [])
        checks.expect("results of the replays", count_statuses(heard.of("result")), {"success": many})
        checks.expect(
            "revisions of a request",
            dict(Counter(len(each) for each in heard.of("revised").values())),
            {1: many},
        )

    async def _undo(
        self, job: int, replays: Mapping[str, str], before: Mapping[str, tuple[bytes, int]]
    ) -> None:
        checks, heard, many = self._checks, self._user.subscriber, len(self._bodies)
        heard.forget()
        began_s = time.monotonic()
        report = await self._user.run_json("replay", "undo", str(job))
        checks.note("seconds of the undo", round(time.monotonic() - began_s, 1))
        found = tuple(report[name] for name in ("undone", "restored", "uncached", "put_back"))
        checks.expect("undone, restored, removed from the cache, put back there", found, (many,) * 4)
        checks.note("cannot be undone", report["cannot"])
        checks.require("what was paid is among it", holds=any("paid" in each for each in report["cannot"]))
        await wait_until(lambda: len(heard.heard["revised"]) >= many, timeout_s=COMMAND_S)
        revised = heard.of("revised")
        wrong = [
            name
            for name, replay in replays.items()
            if [(each["revised_by"], each["undoes"]) for each in revised.get(name, ())] != [(name, replay)]
        ]
        checks.expect("requests whose subscribers did not get the earlier result once", wrong[:5], [])
        after = await self._user.read_cache()
        changed = [key for key, (body, _) in before.items() if after.get(key, (b"", 0))[0] != body]
        checks.expect("cache entries that are not as they were", changed[:5], [])
        checks.expect("cache entries after the undo", len(after), len(before))
        await self._user.settle(COMMAND_S)
        await self._plan(2)
        entries = [
            each async for each in log.read(self._user.client.wire, pipeline.REQUESTS, "gen.requested.*.*")
        ]
        checks.expect("requests in the log", len(entries), 2 * many)
        checks.expect("ids in the log", len({each.subject for each in entries}), 2 * many)


def _find_maker(entry: bytes) -> str:
    return str(json.loads(entry)["request_id"])
