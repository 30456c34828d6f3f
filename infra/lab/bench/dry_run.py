"""Benchmark of dry runs: what a plan says of 200 letters and 200 past requests, and what then happens to each of them.

Everything is done as a user does it: `understudy up` in an empty folder with the scripted provider, commands, a plain NATS
subscriber.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from infra.lab.bench.letters import SETTINGS, count_statuses, make_letter, publish_letters, publish_requests
from infra.lab.bench.user import COMMAND_S, Checks, Say, User, wait_until, working
from infra.nats.atomic import Publication

KINDS: Final = ("layout", "plot", "scene", "dialogue", "transition", "custom")
_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "note": {"type": "string"}},
    "required": ["title", "note"],
}
#: Sorts of letters, in turn.
_SORTS: Final = 10
#: The tag of requests that the patch is meant for.
_TAG: Final = "patched"
_PATCHED: Final = "A garden behind the wall"
_PATCH: Final = [
    {"op": "test", "path": "/tags/0", "value": _TAG},
    {"op": "replace", "path": "/prompt", "value": _PATCHED},
]


async def run(*, items: int, say: Say) -> dict[str, Any]:
    """Compare plans with what happens; the figures, and whether everything is as it was planned.

    Args:
        items: letters, and past requests.
        say: shows progress.
    """
    checks = Checks(say)
    async with working(**SETTINGS) as user:
        await user.subscriber.listen("requested", "result", "revised")
        await _Comparison(user, checks, items).go_through()
    return checks.report()


def compose(number: int, name: str) -> tuple[str, dict[str, Any]]:
    """Kind and body of a request that is accepted."""
    kind = KINDS[number % len(KINDS)]
    body: dict[str, Any] = {"prompt": f"A {name} with door {number}", "deadline_ms": 600_000}
    if kind == "custom":
        body["schema"] = _SCHEMA
    if number % 4:
        body["node"] = {"id": f"door-{name}-{number}", "strategy": "once"}
    return kind, body


class _Comparison:
    """Plans, and what comes of them."""

    def __init__(self, user: User, checks: Checks, items: int) -> None:
        self._user = user
        self._checks = checks
        self._items = items
        #: Bodies of letters that today's contracts refuse, with their kinds, by id.
        self._refused: dict[str, tuple[str, dict[str, Any]]] = {}

    async def go_through(self) -> None:
        past = {f"past-{number}": compose(number, "past") for number in range(self._items)}
        # Every tenth repeats the one before, every seventh has the patch's tag, every ninth is refused.
        for number in range(1, self._items):
            kind, body = past[f"past-{number}"]
            if number % 10 == 0:
                past[f"past-{number}"] = past[f"past-{number - 1}"]
            elif number % 9 == 0:
                past[f"past-{number}"] = (kind, {**body, "template_id": "not-a-template"})
            elif number % 7 == 0:
                past[f"past-{number}"] = (kind, {**body, "tags": [_TAG]})
        refused = {name: each for name, each in past.items() if "template_id" in each[1]}
        await self._ask({name: each for name, each in past.items() if name not in refused})
        await self._settle()
        # Before anything is rejected: that leaves letters too.
        await self._compare_letters()
        await self._ask(refused)
        await self._settle()
        await self._compare_past(past)
        await self._compare_patched(past)
        await self._refuse_changed()

    async def _ask(self, requests: Mapping[str, tuple[str, dict[str, Any]]]) -> dict[str, list[Any]]:
        heard = self._user.subscriber
        heard.forget()
        await publish_requests(self._user, requests)
        await wait_until(lambda: len(heard.heard["result"]) >= len(requests), timeout_s=COMMAND_S)
        return heard.of("result")

    async def _settle(self) -> None:
        await self._user.settle(COMMAND_S)

    async def _compare_letters(self) -> None:
        checks, letters = self._checks, [self._make_letter(number) for number in range(self._items)]
        await publish_letters(self._user, letters)
        self._user.subscriber.forget()
        said = await self._user.run("dead", "replay", "--all", "--dry-run", "--json")
        planned = {each["letter"]: each for each in said.lines}
        checks.expect("letters in the dry run", len(planned), self._items)
        checks.note("letters: outcomes", dict(Counter(each["outcome"] for each in planned.values())))
        checks.note(
            "letters: refusals",
            dict(
                Counter(each["reason"][:60] for each in planned.values() if each["outcome"] == "unreplayable")
            ),
        )
        await self._run_and_compare(
            "letters",
            {each["request_id"]: False for each in planned.values() if each["outcome"] == "would_publish"},
        )
        # What was refused is really refused: the same bodies, asked as new requests.
        codes = {
            each["request_id"] if "request_id" in each else each["letter"]: each.get("code")
            for each in planned.values()
            if each.get("code")
        }
        found = await self._ask({f"anew-{name}": asked for name, asked in self._refused.items()})
        checks.expect(
            "letters: refused bodies, asked as new requests", count_statuses(found), {"rejected": len(codes)}
        )
        checks.expect(
            "letters: codes of these rejections",
            dict(Counter(result["error"]["code"] for (result,) in found.values())),
            dict(Counter(codes.values())),
        )
        await self._settle()

    def _make_letter(self, number: int) -> Publication:
        name = f"lost-{number}"
        kind, body = compose(number, "lost")
        match number % _SORTS:
            case 4 if number % (4 * _SORTS) == 4:  # noqa: PLR2004 - few: the estimate does not look at deadlines
                # The replay's own deadline counts, which ends before a model has written anything.
                body |= {"deadline_ms": 1}
            case 5:
                # Equal to one before: letters are generated anew.
                kind, body = compose(number - 2, "lost")
            case 6:
                body |= {"colour": "red"}
                self._refused[name] = (kind, body)
            case 7:
                body |= {"template_id": "not-a-template"}
                self._refused[name] = (kind, body)
            case 8:
                kind = "castle"
            case 9:
                # There is no request with its id.
                return make_letter(name, kind, event="drafted")
            case _:
                pass
        return make_letter(name, kind, event="requested", body=msgspec.json.encode(body))

    async def _compare_past(self, past: Mapping[str, tuple[str, dict[str, Any]]]) -> None:
        checks = self._checks
        # Half of the entries go, so that some replays find theirs and others do not.
        for kind in KINDS[::2]:
            await self._user.run_json("cache", "purge", "--prefix", kind)
        plan = await self._user.run_json("replay", "--id", "past-*", "--dry-run")
        checks.note("past requests: counts", plan["counts"])
        checks.expect("past requests in the dry run", len(plan["items"]), len(past))
        refused = {each["replay_of"] for each in plan["items"] if each["state"] == "refused"}
        checks.expect(
            "past requests: refusals",
            refused,
            {name for name, (_, body) in past.items() if "template_id" in body},
        )
        self._user.subscriber.forget()
        await self._run_and_compare(
            "past requests",
            {each["request_id"]: each["cached"] for each in plan["items"] if each["state"] == "planned"},
        )

    async def _compare_patched(self, past: Mapping[str, tuple[str, dict[str, Any]]]) -> None:
        checks = self._checks
        with TemporaryDirectory() as folder:
            patch = Path(folder) / "patch.json"
            patch.write_text(json.dumps(_PATCH), encoding="utf-8")
            args = ("replay", "--id", "past-*", "--again", "--patch", str(patch), "--dry-run")
            plan = await self._user.run_json(*args)
        meant = {name for name, (_, body) in past.items() if body.get("tags") == [_TAG]}
        planned = {
            each["replay_of"]: each["request_id"] for each in plan["items"] if each["state"] == "planned"
        }
        checks.expect("patched: the requests that the patch is meant for", set(planned), meant)
        self._user.subscriber.forget()
        await self._run_and_compare("patched", dict.fromkeys(planned.values(), False))
        asked = self._user.subscriber.of("requested")
        checks.expect(
            "patched: prompts", {body["prompt"] for (body,) in asked.values()}, {_PATCHED} if meant else set()
        )
        results = self._user.subscriber.of("result")
        checks.expect(
            "patched: what the results name",
            {result["meta"]["patched_by"] for (result,) in results.values()},
            {f"job-{plan['job']}"} if meant else set(),
        )

    async def _run_and_compare(self, name: str, expected: Mapping[str, bool]) -> None:
        """Run the latest job and compare; ``expected`` says of each request whether the cache is to answer it."""
        checks, heard = self._checks, self._user.subscriber
        (job, *_) = await self._user.run_json("replay", "ls")
        checks.expect(f"{name}: requests on the wire before the run", len(heard.heard["requested"]), 0)
        await self._user.run_json("replay", "resume", str(job["job"]))
        await wait_until(lambda: len(heard.heard["result"]) >= len(expected), timeout_s=COMMAND_S)
        await self._settle()
        asked = heard.of("requested")
        checks.expect(f"{name}: requests on the wire", Counter(map(len, asked.values())), {1: len(expected)})
        checks.require(f"{name}: they are those of the plan", holds=set(asked) == set(expected))
        results = heard.of("result")
        statuses = count_statuses(results)
        checks.note(f"{name}: results", statuses)
        checks.expect(f"{name}: rejected although accepted by the plan", statuses.get("rejected", 0), 0)
        hits = {request_id for request_id, (result, *_) in results.items() if result["status"] == "cached"}
        planned = {request_id for request_id, cached in expected.items() if cached}
        checks.expect(f"{name}: cache hits that were not planned", sorted(hits - planned), [])
        checks.expect(f"{name}: planned cache hits that did not come", sorted(planned - hits), [])
        view = await self._user.run_json("replay", "show", str(job["job"]))
        band, spent = view["estimate"]["tokens"], view["spent"]["tokens"]
        checks.note(f"{name}: tokens", {**{key: round(value) for key, value in band.items()}, "spent": spent})
        checks.require(f"{name}: tokens within their band", holds=band["low"] <= spent <= band["high"])

    async def _refuse_changed(self) -> None:
        checks = self._checks
        await publish_letters(
            self._user,
            [
                make_letter(f"change-{n}", "layout", event="requested", body=b'{"prompt":"A gate"}')
                for n in range(5)
            ],
        )
        self._user.subscriber.forget()
        first = await self._user.run("dead", "replay", "--id", "change-*", "--dry-run", "--json")
        (job, *_) = await self._user.run_json("replay", "ls")
        await self._user.run("dead", "drop", str(first.lines[2]["letter"]), "--yes")
        for args in (
            ("dead", "replay", "--id", "change-*", "--plan", job["plan_hash"]),
            ("replay", "resume", str(job["job"])),
        ):
            done = await self._user.run(*args)
            checks.require(f"a changed set is refused: {args[0]} {args[1]}", holds=done.status != 0)
            checks.note("its message", done.err.strip().replace("\n", " / "))
        checks.expect("requests on the wire after both", len(self._user.subscriber.heard["requested"]), 0)
        anew = await self._user.run("dead", "replay", "--id", "change-*", "--json")
        checks.expect("a new plan runs", (anew.status, _count_outcomes(anew.lines)), (0, {"published": 4}))


def _count_outcomes(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return dict(Counter(each["outcome"] for each in lines))
