"""What becomes of messages that nobody can read?"""

from __future__ import annotations

import hashlib
import random
from collections import Counter

import msgspec
import pytest
from nats.js.errors import NoStreamResponseError

from contracts import pipeline, request
from contracts.errors import ErrorCode
from contracts.result import Status
from infra.nats.server_config import MAX_PAYLOAD
from infra.runner import execution
from infra.stores.assets import Assets
from tests.pipeline.conftest import Configure, Observer, Start

#: Every stored event but the answer itself.
EVENTS = [row.event for row in pipeline.ROWS if row.stream is not None and row.event != "result"]


class Junk(msgspec.Struct, frozen=True, kw_only=True):
    """One message that no stage can use."""

    sort: str
    subject: str
    body: bytes
    headers: dict[str, str] = {}
    #: Its subject is a good one.
    addressed: bool = True


def junk(event: str, rng: random.Random) -> list[Junk]:
    """One of every sort for one event; bodies and ids differ with ``rng``."""

    def subject(kind: str = "layout") -> str:
        return f"gen.{event}.{kind}.j-{rng.getrandbits(64):x}"

    depth = request.MAX_DEPTH * 1000
    bodies = {
        "random bytes": b"\xff" + rng.randbytes(rng.randrange(1, 2000)),
        "no text": b'{"prompt":"\xc3\x28","reason":"\xc3\x28","attempt":1}',
        "cut off": b'{"prompt":"a fore',
        "list": b"[]",
        "number": b"42",
        "null": b"null",
        "wrong fields": b'{"prompt":5,"reason":5,"attempt":"one","request_seq":"x","code":7}',
        "deep list": b"[" * depth,
        "deep object": b'{"a":' * depth + b"1" + b"}" * depth,
        "largest": b"x" * MAX_PAYLOAD,
    }
    found = [Junk(sort=sort, subject=subject(), body=body) for sort, body in bodies.items()]
    good = b'{"prompt":"a forest with three coins"}'
    if event != "timer":
        other = "drafted" if event != "drafted" else "failed"
        headers = {"ce-type": f"dev.understudy.gen.{other}.v1"}
        found.append(Junk(sort="another ce-type", subject=subject(), body=good, headers=headers))
    misaddressed = {
        "long id": f"gen.{event}.layout.{'j' * 65}",
        "odd id": f"gen.{event}.plot.j%{rng.getrandbits(16)}",
    }
    if pipeline.ROW_OF[event].stream == pipeline.EVENTS:
        misaddressed |= refused(event)
    found += [
        Junk(sort=sort, subject=address, body=good, addressed=False) for sort, address in misaddressed.items()
    ]
    return found


def refused(event: str) -> dict[str, str]:
    """Subjects of an event that are none; REQUESTS takes no such message."""
    return {
        "unknown kind": f"gen.{event}.dragon.j-1",
        "no id": f"gen.{event}.layout",
        "too many tokens": f"gen.{event}.layout.j-1.b.c",
    }


@pytest.mark.parametrize("event", ["requested", "cancelled"])
async def test_a_subject_that_is_none_is_not_accepted(
    client: Observer, configure: Configure, start: Start, event: str
) -> None:
    async with start(configure(rules=[])):
        for subject in refused(event).values():
            with pytest.raises(NoStreamResponseError):
                await client.publish(subject, b'{"prompt":"a forest"}')


@pytest.mark.parametrize("request_id", ["a$1", "{id}", "j" * 65, "a*b", "/"])
async def test_an_id_that_is_none_is_answered_on_its_own_subject(
    client: Observer, configure: Configure, start: Start, request_id: str
) -> None:
    async with start(configure(rules=[])):
        result = await client.ask(request_id)

    assert result.status is Status.REJECTED
    assert "must match" in (result.reason or "")


@pytest.mark.parametrize("request_id", ["player:42", "a@b", ":"])
async def test_colons_and_ats_are_ids(
    client: Observer, configure: Configure, start: Start, request_id: str
) -> None:
    async with start(configure(rules=[])):
        result = await client.ask(request_id)

    assert result.status is Status.SUCCESS


async def test_a_request_of_a_newer_version_is_answered_at_its_deadline(
    client: Observer, configure: Configure, start: Start
) -> None:
    headers = {"ce-type": "dev.understudy.gen.requested.v9"}
    async with start(configure(rules=[])):
        await client.publish(
            "gen.requested.layout.new-2", b'{"prompt":"a forest","deadline_ms":700,"mood":"new"}', headers
        )
        result = await client.result("new-2")

    assert result.status is Status.FAIL_FALLBACK
    assert "requested v9 is newer than v1" in (result.reason or "")


async def test_every_malformed_message_is_one_letter_and_stops_nothing(
    client: Observer, configure: Configure, start: Start
) -> None:
    rng = random.Random(3)  # noqa: S311 - the same messages in every run
    sent: dict[tuple[str, int], Junk] = {}
    async with start(configure(rules=[])) as application:
        for event in EVENTS:
            stream = pipeline.ROW_OF[event].stream
            assert stream is not None
            for one in junk(event, rng):
                sequence = await client.publish(one.subject, one.body, one.headers or None)
                sent[stream, sequence] = one
        good = await client.ask("good-1")
        await client.settled()
        large = [letter for letter in client.letters() if letter.body_ref is not None]
        kept = [
            await Assets(application.adapters.wire).get(msgspec.convert(one.body_ref, _Ref)) for one in large
        ]

    assert len(sent) > 150
    assert good.status is Status.SUCCESS
    letters = {(one.stream, one.sequence): one for one in client.letters()}
    assert len(letters) == len(client.letters())
    assert {sent[key].sort for key in sent.keys() - letters.keys()} == set()
    assert letters.keys() == sent.keys()
    for key, letter in letters.items():
        one = sent[key]
        assert letter.reason, one.sort
        assert letter.subject == one.subject
        assert letter.stage == pipeline.letter_writer(one.subject.split(".")[1])
        assert letter.size == len(one.body)
        assert letter.sha256 == hashlib.sha256(one.body).hexdigest()
        assert letter.body == (None if len(one.body) > 512 * 1024 else one.body)
    assert kept == [b"x" * MAX_PAYLOAD] * len(EVENTS)
    unknown = [
        one.subject for one in client.log if one.subject.startswith("dead.") and ".unknown." in one.subject
    ]
    assert len(unknown) == sum(not one.addressed for one in sent.values())
    addressed = [one for one in sent.values() if one.addressed and one.subject.startswith("gen.requested.")]
    ended = Counter(one.subject for one in client.events("result"))
    assert set(ended.values()) == {1}
    odd = [one for one in sent.values() if not one.addressed and one.subject.startswith("gen.requested.")]
    rejected = {one.subject.replace(".requested.", ".result.") for one in (*addressed, *odd)}
    assert ended.keys() == rejected | {"gen.result.layout.good-1"}


class _Ref(msgspec.Struct, frozen=True):
    object: str
    sha256: str


async def test_junk_in_the_name_of_a_request_ends_it_once(
    client: Observer, configure: Configure, start: Start
) -> None:
    rule = {"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": 60_000}
    async with start(configure(rules=[rule])):
        await client.publish("gen.requested.layout.odd-1")
        await client.until(lambda: bool(client.events("context_built", "odd-1")))
        await client.publish("gen.drafted.layout.odd-1", b"\xff\x00")
        result = await client.result("odd-1")
        await client.settled()

    assert result.status is Status.FAIL_FALLBACK
    assert result.error is not None
    assert (result.error.code, result.error.stage) == (ErrorCode.GEN_INTERNAL, "structuring")
    assert len(client.letters()) == 1
    assert len(client.events("result")) == 1


async def test_a_newer_version_waits_without_a_failure(
    client: Observer, configure: Configure, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "_PARKED_S", 0.1)
    headers = {"ce-type": "dev.understudy.gen.drafted.v9"}
    rule = {"match": {"request_id": "new-*"}, "do": "slow", "after_ms": 60_000}
    async with start(configure(rules=[rule])):
        await client.publish("gen.requested.layout.new-1", b'{"prompt":"a forest","deadline_ms":4000}')
        await client.until(lambda: bool(client.events("context_built", "new-1")))
        parked = await client.publish("gen.drafted.layout.new-1", b'{"shape":"of the future"}', headers)
        for stage in ("structuring", "audit"):
            key = ("EVENTS", stage, parked)
            await client.until(lambda key=key: client.put_off.count(key) > 1, what="parked twice")
        assert (await client.ask("next-1")).status is Status.SUCCESS
        assert client.events("result", "new-1") == []
        result = await client.result("new-1")
        await client.handled("EVENTS", parked, "structuring")

    assert result.error is not None
    assert result.error.code is ErrorCode.GEN_TIMEOUT
    assert client.events("failed") == []
    assert client.letters() == []
