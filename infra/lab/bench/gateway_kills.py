"""Kills under HTTP load: what the gateway has accepted gets its one result, whatever is killed meanwhile.

Users send requests with keys of their own over HTTP, and ask again with the key where a connection breaks or the answer
is 5xx, as a careful client does.  Processes get SIGKILL at random: gateway, stages and broker.  In the end, each key is
asked for again, and some with another body.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec

from contracts.errors import Unavailable
from infra.app.supervisor import Supervisor
from infra.lab.bench.http_load import HttpAnswer, KeptConnection
from infra.lab.bench.outcomes import Outcomes
from infra.lab.bench.soak import kill_one
from infra.lab.bench.trial import Say, connected, looking, scripted

#: What users send to, with headers that ask for a wait or none.
_PATHS: Final = (
    ("/generate?kind=layout", ""),
    ("/api/generate-content?kind=layout", "wait=1"),
    ("/api/generate-content?kind=layout", "respond-async"),
    ("/api/v1/generations?kind=layout", ""),
    ("/api/v1/generations?kind=layout", "wait=2"),
)
#: Of every request: short, so that what lost its stage is answered by the fallback within the run.
_DEADLINE_MS: Final = 8000
#: Processes that must be ready for a kill, of six.
_READY: Final = 4
_OTHER: Final = b'{"prompt": "another request"}'
#: Seconds that one answer may take, and between two tries.
_ANSWER_S: Final = 90.0
_AGAIN_S: Final = 0.3
_TRIES: Final = 400
_TAKEN: Final = 422
_SERVER_ERROR: Final = 500
#: Keys that are asked for with another body: one of so many.
_OTHER_EACH: Final = 5


class KilledGateway(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found."""

    seconds: float
    kills: dict[str, int]
    requests: int
    #: First answers that were no 5xx, by status.
    accepted: dict[str, int]
    #: Answers of 5xx by status, and connections that broke, before that.
    repeated: dict[str, int]
    #: Requests that nobody accepted in time.
    refused: int
    #: Stored results of accepted requests.
    results: int
    missing: int
    doubled: int
    #: Keys that were asked for again in the end, and those whose answer was not the stored result.
    asked_again: int
    other_results: int
    #: Keys that were asked for with another body, and those whose answer was not 422.
    asked_otherwise: int
    not_refused: int
    #: Stored results by status.
    statuses: dict[str, int]
    unexpected: list[str]

    @property
    def passed(self) -> bool:
        """One result for each, the same for whoever asks again."""
        wrong = self.missing + self.doubled + self.other_results + self.not_refused + self.refused
        return self.requests > 0 and not wrong and not self.unexpected


async def run(
    folder: Path,
    *,
    seconds: float,
    rate: float,
    users: int,
    pause_s: tuple[float, float],
    seed: int = 1,
    say: Say = lambda _: None,
) -> KilledGateway:
    """Load a pipeline over HTTP while its processes are killed.

    Args:
        folder: for broker and database.
        seconds: of load and kills.
        rate: requests per second.
        users: requests at once at most.
        pause_s: shortest and longest time between two kills.
        seed: of the choice of targets, moments and paths.
        say: told what is being done.
    """
    settings = scripted(folder, sync_interval="always", gateway={"port": 0}, admission={"enabled": False})
    async with (
        Supervisor(settings) as supervisor,
        connected(supervisor.reached) as (_, wire),
    ):
        load = _Load(supervisor, random.Random(seed))  # noqa: S311 - a schedule, not a secret
        outcomes = Outcomes(wire)
        began = time.monotonic()
        async with looking(outcomes):
            sending = asyncio.create_task(load.send_all(seconds, rate, users))
            dice = random.Random(seed + 1)  # noqa: S311 - as above
            killed: Counter[str] = Counter()
            while time.monotonic() - began < seconds:
                await asyncio.sleep(dice.uniform(*pause_s))
                name = kill_one(supervisor, dice, killed, least=_READY)
                if name is not None:
                    say(f"{time.monotonic() - began:.0f} s: killed {name}; {len(load.accepted)} accepted")
            await sending
            took = time.monotonic() - began
            say(f"{len(load.accepted)} accepted; waiting for results")
            await outcomes.until_answered(list(load.accepted), timeout_s=_ANSWER_S)
            say("asking again")
            other_results, not_refused, otherwise = await load.ask_again(users)
        await outcomes.look()
    stored = {one: outcomes.answered.get(one, []) for one in load.accepted}
    return KilledGateway(
        seconds=round(took, 1),
        kills=dict(killed),
        requests=load.sent,
        accepted={str(status): count for status, count in sorted(Counter(load.accepted.values()).items())},
        repeated=dict(load.repeated),
        refused=load.sent - len(load.accepted),
        results=sum(map(len, stored.values())),
        missing=sum(not each for each in stored.values()),
        doubled=sum(max(0, len(each) - 1) for each in stored.values()),
        asked_again=len(load.accepted),
        other_results=other_results,
        asked_otherwise=otherwise,
        not_refused=not_refused,
        statuses=dict(Counter(each.status for found in stored.values() for each in found[:1])),
        unexpected=load.unexpected[:20],
    )


class _Load:
    """Users who send requests, and what they got.

    Args:
        supervisor: knows where the gateway listens.
        dice: choose paths.
    """

    def __init__(self, supervisor: Supervisor, dice: random.Random) -> None:
        self._supervisor = supervisor
        self._dice = dice
        self._free: list[KeptConnection] = []
        self.sent = 0
        #: Status of the first answer below 500, by request id.
        self.accepted: dict[str, int] = {}
        self.repeated: Counter[str] = Counter()
        self.unexpected: list[str] = []
        #: Results that answers had, by request id.
        self._seen: dict[str, Any] = {}

    async def send_all(self, seconds: float, rate: float, users: int) -> None:
        """Send requests at even times, each until it is accepted."""
        room = asyncio.Semaphore(users)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while time.monotonic() - began < seconds:
                await asyncio.sleep(max(0.0, began + self.sent / rate - time.monotonic()))
                await room.acquire()
                request_id = f"gk-{self.sent}"
                self.sent += 1
                group.create_task(self._send(request_id)).add_done_callback(lambda _: room.release())

    async def _send(self, request_id: str) -> None:
        path, prefer = self._dice.choice(_PATHS)
        headers = {"Idempotency-Key": request_id} | ({"Prefer": prefer} if prefer else {})
        answer = await self._patiently("POST", path, _body(request_id), headers)
        if answer is None:
            return
        if answer.status not in (200, 201, 202):
            self.unexpected.append(f"{request_id}: {answer.status} {answer.body[:300]!r}")
            return
        self.accepted[request_id] = answer.status
        found = msgspec.json.decode(answer.body)
        if answer.status in (200, 201):
            self._seen[request_id] = _essence(found)

    async def ask_again(self, users: int) -> tuple[int, int, int]:
        """Ask for each accepted request again; answers with another result, others not refused, and those asked."""
        left = iter(self.accepted)
        differing: list[str] = []
        let_in: list[str] = []
        otherwise: list[str] = []

        async def user() -> None:
            for request_id in left:
                key = {"Idempotency-Key": request_id}
                again = await self._patiently("POST", "/generate?kind=layout", _body(request_id), key)
                job = await self._patiently("GET", f"/api/generation-jobs/{request_id}", b"", {})
                known = None if job is None else _essence(msgspec.json.decode(job.body).get("result"))
                mine = None if again is None else _essence(msgspec.json.decode(again.body))
                if known is None or mine != known or self._seen.get(request_id, known) != known:
                    differing.append(request_id)
                if self._dice.randrange(_OTHER_EACH) == 0:
                    otherwise.append(request_id)
                    other = await self._patiently("POST", "/generate?kind=layout", _OTHER, key)
                    if other is None or other.status != _TAKEN:
                        let_in.append(request_id)

        async with asyncio.TaskGroup() as group:
            for _ in range(users):
                group.create_task(user())
        return len(differing), len(let_in), len(otherwise)

    async def _patiently(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> HttpAnswer | None:
        """Send a request until it is answered below 500; ``None``: it never was."""
        for _ in range(_TRIES):
            url = self._supervisor.http_url
            connection = self._free.pop() if self._free else None
            if connection is None and url is not None:
                connection = KeptConnection(url)
            try:
                if connection is not None:
                    async with asyncio.timeout(_ANSWER_S):
                        answer = await connection.send(method, path, body, headers)
                    self._free.append(connection)
                    if answer.status < _SERVER_ERROR:
                        return answer
                    self.repeated[str(answer.status)] += 1
            except TimeoutError:
                self.unexpected.append(f"{method} {path}: no answer within {_ANSWER_S:g} s")
            except (Unavailable, OSError):
                self.repeated["connection"] += 1
            await asyncio.sleep(_AGAIN_S)
        return None


def _body(request_id: str) -> bytes:
    return msgspec.json.encode(
        {"prompt": f"a forest with three coins, number {request_id}", "deadline_ms": _DEADLINE_MS}
    )


def _essence(result: Any) -> tuple[Any, ...] | None:
    """What makes two results the same one."""
    if not isinstance(result, dict):
        return None
    given: dict[str, Any] = result
    return tuple(given.get(name) for name in ("request_id", "status", "origin", "content_hash"))
