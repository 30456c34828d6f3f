"""Benchmark of an outage: a model server goes away, requests fall back; it returns, and a replay job writes them again.

Everything is done as a user does it: `understudy up` in an empty folder, commands, a plain NATS subscriber.  The job is killed
in the middle and resumed, answered by the cache when asked again, and undone.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from contracts import pipeline
from infra.lab.bench.chat_server import MODEL, ChatServer
from infra.lab.bench.user import Checks, Say, User, wait_until, working
from infra.nats import log

KINDS: Final = ("layout", "plot", "scene", "dialogue", "transition", "custom")
#: Of so many requests, the last one has the body of the one before.
_EQUAL_EACH: Final = 25
#: Successful requests of each kind before the outage, which the estimate is made from.
_BEFORE: Final = 6
#: Numbers of those requests: every kind in turn, and no two with the same body.
_FIRST: Final = 9_000_001
_STEP: Final = 7
#: Seconds for which a breaker stays open.
_COOLDOWN_S: Final = 1
#: How a request without a model ends: a kind without samples has placeholders.
FALLEN: Final = "fail_fallback,placeholder"
#: Of each kind, requests that are asked again afterwards.
_AGAIN: Final = 3
_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "note": {"type": "string"}},
    "required": ["title", "note"],
}
#: Prices for 1,000 tokens.
_PRICES: Final = ("0.5", "1.5")
_DEADLINE_MS: Final = 120_000
_PATIENCE_S: Final = 300.0
_NUMBER: Final = re.compile(r"pier (\d+)")


async def run(*, requests: int, rate: float, say: Say) -> dict[str, Any]:
    """Go through the outage; the figures, and whether every count is right.

    Args:
        requests: that fall back.
        rate: requests per second of the replay.
        say: shows progress.
    """
    checks = Checks(say)
    async with (
        ChatServer() as server,
        working(
            USE_LOCAL_MODEL="true",
            NARRATIVE__PROVIDER="openai",
            NARRATIVE__OPENAI__BASE_URL=server.base_url,
            NARRATIVE__OPENAI__MODEL=MODEL,
            NARRATIVE__OPENAI__PRICE_PROMPT=_PRICES[0],
            NARRATIVE__OPENAI__PRICE_COMPLETION=_PRICES[1],
            NARRATIVE__BREAKER__COOLDOWN=f"{_COOLDOWN_S}",
        ) as user,
    ):
        await _Outage(user, server, checks, requests, rate).go_through()
    return checks.report()


def compose(number: int) -> tuple[str, dict[str, Any]]:
    """Kind and body of a request; the body names its number, or that of the one before where both are equal."""
    number -= number % _EQUAL_EACH == 0 and number > 0
    kind = KINDS[number % len(KINDS)]
    body: dict[str, Any] = {
        "prompt": f"A harbour with pier {number}",
        "deadline_ms": _DEADLINE_MS,
        "node": {"id": f"pier-{number}", "strategy": "once"},
    }
    if kind == "custom":
        body["schema"] = _SCHEMA
    return kind, body


class _Outage:
    """One outage, and what comes after it."""

    def __init__(self, user: User, server: ChatServer, checks: Checks, requests: int, rate: float) -> None:
        self._user = user
        self._server = server
        self._checks = checks
        self._rate = rate
        self._ids = [f"lost-{number}" for number in range(1, requests + 1)]
        #: By the id of a request, that of its replay.
        self._replays: dict[str, str] = {}
        #: Replays that the plan expects the cache to answer.
        self._expected_hits = 0

    async def go_through(self) -> None:
        await self._user.subscriber.listen("requested", "result", "revised")
        await self._fall_back()
        job = await self._plan()
        before = await self._user.read_cache()
        await self._replay(job)
        await self._check_written(job)
        await self._ask_again()
        await self._refuse_second(job)
        await self._undo(job, before)

    async def _fall_back(self) -> None:
        checks, heard = self._checks, self._user.subscriber
        first = [f"first-{number}" for number in range(_BEFORE * len(KINDS))]
        for number, request_id in enumerate(first):
            kind, body = compose(_FIRST + _STEP * number)
            await self._user.client.submit(kind, body=json.dumps(body).encode(), request_id=request_id)
        await wait_until(lambda: len(heard.heard["result"]) == len(first), timeout_s=_PATIENCE_S)
        checks.expect("before the outage", _count_statuses(heard.of("result")), {"success": len(first)})
        await self._server.turn_off()
        heard.forget()
        began_s = time.monotonic()
        for number, request_id in enumerate(self._ids, start=1):
            kind, body = compose(number)
            await self._user.client.submit(kind, body=json.dumps(body).encode(), request_id=request_id)
        await wait_until(lambda: len(heard.heard["result"]) == len(self._ids), timeout_s=_PATIENCE_S)
        statuses = _count_statuses(heard.of("result"))
        checks.note("results during the outage", statuses)
        fallen = sum(statuses.get(each, 0) for each in FALLEN.split(","))
        checks.expect("requests that fell back", fallen, len(self._ids))
        checks.note("seconds until all had fallen back", round(time.monotonic() - began_s, 1))
        await self._user.settle(_PATIENCE_S)
        await self._server.turn_on()
        # The breaker stays open for a while; then the first call of the replay tries the server, and others wait for it.
        await asyncio.sleep(2 * _COOLDOWN_S)
        heard.forget()

    async def _plan(self) -> int:
        checks, many = self._checks, len(self._ids)
        args = ("replay", "--status", FALLEN, "--since", "10m", "--rate", f"{self._rate:g}/s", "--dry-run")
        shown = await self._user.run(*args)
        checks.note("dry run for people", "\n        ".join(["", *shown.out.splitlines()]))
        plan = await self._user.run_json(*args)
        checks.expect(
            "verdicts",
            {each: plan["counts"].get(each, 0) for each in ("planned", "refused")},
            {"planned": many, "refused": 0},
        )
        equal = many // _EQUAL_EACH
        self._expected_hits = equal
        checks.expect("cache hits of the plan", plan["counts"]["cached"], equal)
        checks.expect("kinds without recorded usage", plan["estimate"]["unknown"], 0)
        checks.require("a cost is told", holds=plan["estimate"]["money"] is not None)
        checks.require("a time is told", holds=plan["estimate"]["seconds"]["high"] > 0)
        checks.expect(
            "requests on the wire after the dry run", len(self._user.subscriber.heard["requested"]), 0
        )
        self._replays = {each["replay_of"]: each["request_id"] for each in plan["items"]}
        checks.expect("each request is planned once", set(self._replays), set(self._ids))
        return int(plan["job"])

    async def _replay(self, job: int) -> None:
        checks, heard, many = self._checks, self._user.subscriber, len(self._ids)
        process = await self._user.start("replay", "resume", str(job), "--json")
        await wait_until(lambda: len(heard.heard["requested"]) >= many * 2 // 5, timeout_s=_PATIENCE_S)
        process.send_signal(signal.SIGKILL)
        await process.communicate()
        await asyncio.sleep(0.5)
        half = len(heard.heard["requested"])
        checks.require("the run was killed in the middle", holds=0 < half < many)
        began_s = time.monotonic()
        report = await self._user.run_json("replay", "resume", str(job))
        took_s = time.monotonic() - began_s
        checks.expect("the resumed run", report["state"], "done")
        checks.expect("published by the two runs", half + report["published"], many)
        checks.note("published by the killed run, which had not recorded it", report["refused"])
        checks.note(
            "requests per second of the resumed run", round(report["published"] / report["seconds"], 1)
        )
        checks.note("seconds of the resumed command, with taking over the job", round(took_s, 1))

    async def _check_written(self, job: int) -> None:
        checks, heard = self._checks, self._user.subscriber
        replays = set(self._replays.values())
        await wait_until(lambda: len(heard.heard["revised"]) == len(self._ids), timeout_s=_PATIENCE_S)
        await self._user.settle(_PATIENCE_S)
        asked = heard.of("requested")
        checks.expect(
            "requests on the wire", Counter(len(each) for each in asked.values()), {1: len(replays)}
        )
        checks.require("they are those of the plan", holds=set(asked) == replays)
        bodies = {original: asked[replay][0] for original, replay in self._replays.items() if replay in asked}
        other = [
            name for name, body in bodies.items() if _strip(body) != compose(int(name.rpartition("-")[2]))[1]
        ]
        checks.expect("requests that carry another one's body", other, [])
        checks.expect(
            "results of the replays",
            _count_statuses(heard.of("result")),
            {"success": len(replays) - self._expected_hits, "cached": self._expected_hits},
        )
        revised = heard.of("revised")
        checks.expect(
            "revisions of a request", Counter(len(each) for each in revised.values()), {1: len(self._ids)}
        )
        wrong = [
            name
            for name, (event, *_) in revised.items()
            if event["revised_by"] != self._replays[name] or not _is_about(event["content"], name)
        ]
        checks.expect("revisions by another replay, or with another one's content", wrong, [])
        view = await self._user.run_json("replay", "show", str(job))
        band, spent = view["estimate"]["tokens"], view["spent"]
        checks.note(
            "tokens", {**{name: round(value) for name, value in band.items()}, "spent": spent["tokens"]}
        )
        checks.require("tokens within their band", holds=band["low"] <= spent["tokens"] <= band["high"])
        money = view["estimate"]["money"]
        checks.note(
            "money",
            {**{name: round(value, 2) for name, value in money.items()}, "spent": round(spent["money"], 2)},
        )
        checks.require("money within its band", holds=money["low"] <= spent["money"] <= money["high"])

    async def _ask_again(self) -> None:
        checks, heard = self._checks, self._user.subscriber
        heard.forget()
        calls = self._server.answered
        numbers = range(1, min(len(self._ids), _AGAIN * len(KINDS)) + 1)
        for number in numbers:
            kind, body = compose(number)
            await self._user.client.submit(kind, body=json.dumps(body).encode(), request_id=f"again-{number}")
        await wait_until(lambda: len(heard.heard["result"]) == len(numbers), timeout_s=_PATIENCE_S)
        found = heard.of("result")
        checks.expect("asked again", _count_statuses(found), {"cached": len(numbers)})
        wrong = [
            name
            for name, (result, *_) in found.items()
            if result["meta"]["generated_for"] != self._replays[f"lost-{name.rpartition('-')[2]}"]
            or result["meta"]["provider"] != "openai"
            or not _is_about(result["content"], name)
        ]
        checks.expect("answers that are not the replay's real content", wrong, [])
        checks.expect("calls of the model server for them", self._server.answered - calls, 0)

    async def _refuse_second(self, job: int) -> None:
        checks, heard = self._checks, self._user.subscriber
        heard.forget()
        second = await self._user.run("replay", "resume", str(job))
        checks.require("a second run is refused", holds=second.status != 0)
        checks.note("its message", second.err.strip())
        anew = await self._user.run("replay", *(f for each in self._ids[:1] for f in ("--id", each)))
        checks.require("a second job of a written request is refused", holds=anew.status != 0)
        checks.note("its message ", " | ".join(anew.out.split("\n")[1:3]))
        checks.expect("requests on the wire after both", len(heard.heard["requested"]), 0)

    async def _undo(self, job: int, before: Mapping[str, tuple[bytes, int]]) -> None:
        checks, heard, many = self._checks, self._user.subscriber, len(self._ids)
        began_s = time.monotonic()
        report = await self._user.run_json("replay", "undo", str(job))
        checks.note("seconds of the undo", round(time.monotonic() - began_s, 1))
        await wait_until(lambda: len(heard.heard["revised"]) == many, timeout_s=_PATIENCE_S)
        checks.expect("undone", (report["undone"], report["restored"], report["cancelled"]), (many, many, 0))
        checks.note("cannot be undone", report["cannot"])
        revised = heard.of("revised")
        checks.expect("revisions of the undo", Counter(len(each) for each in revised.values()), {1: many})
        wrong = [
            name
            for name, (event, *_) in revised.items()
            if (event["revised_by"], event["undoes"]) != (name, self._replays[name])
            or event["status"] not in FALLEN.split(",")
        ]
        checks.expect("revisions that do not name the earlier result", wrong, [])
        after = await self._user.read_cache()
        checks.require("cache entries are as they were", holds=after == before)
        again = await self._user.run("replay", "resume", str(job))
        checks.require("an undone job does not run", holds=again.status != 0)
        await self._user.settle(_PATIENCE_S)
        plan = await self._user.run_json("replay", "--status", FALLEN, "--since", "1h", "--dry-run")
        checks.expect("the requests may be replayed anew", plan["counts"]["planned"], many)
        once = [
            entry async for entry in log.read(self._user.client.wire, pipeline.REQUESTS, "gen.requested.*.*")
        ]
        ids = Counter(entry.subject.rpartition(".")[2] for entry in once)
        checks.expect("ids in the log more than once", [each for each, count in ids.items() if count > 1], [])


def _count_statuses(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, int]:
    return dict(Counter(each["status"] for found in results.values() for each in found))


def _strip(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in ("replay_of", "reuse")}


def _is_about(content: object, request_id: str) -> bool:
    """Whether content names the number of its own request, and no other one."""
    wanted = _NUMBER.findall(compose(int(request_id.rpartition("-")[2]))[1]["prompt"])
    return set(_NUMBER.findall(msgspec.json.encode(content).decode())) == set(wanted)
