"""Odd bodies over HTTP: the gateway accepts and refuses what the pipeline accepts and rejects over NATS, in its words."""

from __future__ import annotations

import asyncio
import json

import httpx2
import pytest

from contracts import pipeline, subjects
from tests.odd_bodies import make_bodies
from tests.pipeline.conftest import Configure, Observer, Start
from tests.pipeline.gateway.conftest import Door, Open

#: Requests at once.
AT_ONCE = 40


async def publish(client: Observer, bodies: dict[str, bytes]) -> None:
    left = iter(bodies.items())

    async def publisher() -> None:
        for name, body in left:
            await client.publish(subjects.gen("requested", "layout", f"n-{name}"), body)

    await asyncio.gather(*(publisher() for _ in range(AT_ONCE)))


async def post(door: Door, bodies: dict[str, bytes]) -> dict[str, httpx2.Response]:
    """The gateway's answer to each body."""
    left = iter(bodies.items())
    answers: dict[str, httpx2.Response] = {}

    async def sender() -> None:
        for name, body in left:
            headers = {"Content-Type": "application/json", "Idempotency-Key": f"h-{name}"}
            answers[name] = await door.http.post(
                "/api/v1/generations?kind=layout", content=body, headers=headers
            )

    await asyncio.gather(*(sender() for _ in range(AT_ONCE)))
    return answers


async def until_decided(client: Observer, ids: set[str]) -> dict[str, str]:
    """Why the pipeline rejects requests, once it has decided on all of these."""
    read = 0
    left = set(ids)

    def all_decided() -> bool:
        nonlocal read
        left.difference_update(
            each.subject.rpartition(".")[2] for each in client.log[read:] if each.stream == pipeline.EVENTS
        )
        read = len(client.log)
        return not left

    await client.until(all_decided, within_s=180)
    results = [each.json() for each in client.events("result")]
    return {each["request_id"]: each["error"]["message"] for each in results if each["status"] == "rejected"}


def names_node(body: bytes) -> bool:
    try:
        found = json.loads(body)
    except ValueError:
        return False
    return isinstance(found, dict) and isinstance(found.get("node"), str)


@pytest.mark.timeout(240)
async def test_odd_bodies_have_the_same_verdict_over_http_and_nats(
    client: Observer, configure: Configure, start: Start, open_door: Open
) -> None:
    bodies = {str(number): body for number, body in enumerate(make_bodies())}
    settings = configure(rules=[], ADMISSION__ENABLED="false")
    async with start(settings, ("context-build",)), open_door(settings) as door:
        await publish(client, bodies)
        answers = await post(door, bodies)
        accepted = {f"h-{name}" for name, answer in answers.items() if answer.status_code == 202}
        rejected = await until_decided(client, accepted | {f"n-{name}" for name in bodies})

    verdicts = {name: rejected.get(f"n-{name}") for name in bodies}
    # The door refuses what it can judge; what it lets in, the pipeline judges, as for everybody.
    over_http = {
        name: answer.json()["detail"] if answer.status_code == 422 else rejected.get(f"h-{name}")
        for name, answer in answers.items()
    }
    assert len(bodies) >= 1298
    assert {answer.status_code for answer in answers.values()} == {202, 422}
    differing = {
        bodies[name][:200]: (over_http[name], verdict)
        for name, verdict in verdicts.items()
        # Over HTTP, and there alone, a text names a stored node: either way it is refused.
        if over_http[name] != verdict and not (names_node(bodies[name]) and over_http[name] and verdict)
    }
    assert not differing
    # Neither all are good nor all bad.
    assert 50 < sum(verdict is None for verdict in verdicts.values()) < len(bodies) - 100
