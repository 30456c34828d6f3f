"""Replays of dead letters: what they publish, and which letters cannot be replayed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts import request
from contracts.errors import ErrorCode
from contracts.events import DeadLetter
from infra.inspect import dead_letters
from infra.inspect.dead_letters import Letter
from infra.inspect.request_filter import RequestFilter
from infra.nats.log import LogEntry
from infra.replay import letters
from infra.replay.letters import Unreplayable

_BODY = b'{"prompt": "a forest", "seed": 7}'


def _letter(
    subject: str, body: bytes | None, *, sequence: int = 5, stream: str = "REQUESTS", size: int = 0
) -> Letter:
    dead = DeadLetter(
        code=ErrorCode.GEN_POISON,
        reason="killed its worker",
        stage="context-build",
        stream=stream,
        sequence=sequence,
        subject=subject,
        time_ms=1000,
        deliveries=4,
        body=body,
        size=size,
    )
    _, _, kind, request_id = subject.split(".")
    entry = _entry(
        f"dead.context-build.{kind}.{request_id}", msgspec.json.encode(dead), sequence=12, stream="DEAD"
    )
    return dead_letters.read(entry)


def _entry(subject: str, body: bytes, *, sequence: int = 5, stream: str = "REQUESTS") -> LogEntry:
    return LogEntry(
        stream=stream, sequence=sequence, subject=subject, time_ns=2_000_000_000, headers={}, body=body
    )


def _body(replay: letters.Replay) -> dict[str, Any]:
    return msgspec.json.decode(replay.body)


def test_a_letter_of_a_request_repeats_its_body_with_lineage() -> None:
    subject = "gen.requested.layout.hello"
    replay = letters.plan(_letter(subject, _BODY), None, _entry(subject, _BODY))
    assert (replay.request_id, replay.subject) == ("rp-12-1", "gen.requested.layout.rp-12-1")
    assert _body(replay) == {"prompt": "a forest", "seed": 7, "replay_of": "hello"}
    assert request.read(replay.body, "layout").replay_of == "hello"


def test_a_letter_of_a_later_stage_repeats_the_original_request() -> None:
    letter = _letter("gen.drafted.layout.hello", b"\x00torn", stream="EVENTS")
    replay = letters.plan(letter, None, _entry("gen.requested.layout.hello", _BODY), number=3)
    assert replay.request_id == "rp-12-3"
    assert _body(replay)["prompt"] == "a forest"


def test_a_later_request_under_a_used_id_never_was_that_request() -> None:
    letter = _letter("gen.requested.layout.hello", b'{"prompt": "another"}', sequence=9)
    replay = letters.plan(letter, None, _entry("gen.requested.layout.hello", _BODY, sequence=5))
    assert (replay.replay_of, _body(replay)) == (None, {"prompt": "another"})


def test_a_replay_of_a_replay_keeps_the_first_request() -> None:
    subject = "gen.requested.layout.rp-3-1"
    body = b'{"prompt": "a forest", "replayOf": "hello"}'
    replay = letters.plan(_letter(subject, body), None, _entry(subject, body), known=True)
    assert _body(replay) == {"prompt": "a forest", "replay_of": "hello"}


def test_a_request_that_only_claims_to_be_a_replay_is_repeated_for_itself() -> None:
    subject = "gen.requested.layout.mine"
    body = b'{"prompt": "a forest", "replayOf": "hello"}'
    replay = letters.plan(_letter(subject, body), None, _entry(subject, body))
    assert _body(replay) == {"prompt": "a forest", "replay_of": "mine"}


def test_the_longest_id_still_makes_a_valid_request() -> None:
    subject = f"gen.requested.layout.{'x' * 64}"
    replay = letters.plan(_letter(subject, _BODY), None, _entry(subject, _BODY))
    assert len(replay.request_id) <= 64
    assert request.read(replay.body, "layout").replay_of == "x" * 64


@pytest.mark.parametrize(
    ("letter", "original", "says"),
    [
        (_letter("gen.requested.layout.a", b"\xff"), None, "not a JSON object"),
        (_letter("gen.requested.layout.a", b"[1]"), None, "not a JSON object"),
        (_letter("gen.requested.layout.a", b'{"promt": 1}'), None, "prompt"),
        (_letter("gen.requested.castle.a", _BODY), None, "kind 'castle'"),
        (_letter("gen.requested.layout.a", None, size=600_000), None, "600000 bytes"),
        (_letter("gen.drafted.layout.a", b"{}", stream="EVENTS"), None, "no longer in the log"),
    ],
)
def test_what_cannot_become_a_request_says_why(letter: Letter, original: LogEntry | None, says: str) -> None:
    with pytest.raises(Unreplayable, match=says):
        letters.plan(letter, None, original)


def _advisory(name: str, **fields: Any) -> Letter:
    body = {"stream": "REQUESTS", "consumer": "context-build", "stream_seq": 5, "deliveries": 3, **fields}
    subject = f"$JS.EVENT.ADVISORY.CONSUMER.{name}.REQUESTS.context-build"
    return dead_letters.read(_entry(subject, msgspec.json.encode(body), sequence=7, stream="DEAD"))


def test_an_advisory_reads_as_a_letter() -> None:
    letter = _advisory("MAX_DELIVERIES", type="io.nats.jetstream.advisory.v1.max_deliver")
    assert (letter.advisory, letter.stage, letter.stream_sequence) == (True, "context-build", 5)
    assert "REQUESTS sequence 5" in letter.reason
    assert "3 deliveries" in letter.reason


def test_a_terminated_advisory_says_why() -> None:
    letter = _advisory("MSG_TERMINATED", type="io.nats.jetstream.advisory.v1.terminated", reason="no use")
    assert letter.reason.endswith(": no use")


def test_an_advisory_is_replayed_from_the_message_it_is_about() -> None:
    cause = _entry("gen.requested.layout.hello", _BODY)
    replay = letters.plan(_advisory("MAX_DELIVERIES"), cause, cause)
    assert (replay.request_id, replay.replay_of) == ("rp-7-1", "hello")


def test_an_advisory_about_a_lost_message_cannot_be_replayed() -> None:
    with pytest.raises(Unreplayable, match="no longer"):
        letters.plan(_advisory("MAX_DELIVERIES"), None, None)


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (RequestFilter(), True),
        (RequestFilter(request_id="a"), True),
        (RequestFilter(request_id="b"), False),
        (RequestFilter(stage=("context-build",), code=("GEN_POISON",)), True),
        (RequestFilter(stage=("fallback",)), False),
        (RequestFilter(code=("GEN_TIMEOUT",)), False),
        (RequestFilter(since_ms=2000), True),
        (RequestFilter(since_ms=2001), False),
        (RequestFilter(until_ms=2000), False),
        (RequestFilter(until_ms=2001), True),
    ],
)
def test_filters_mean_what_they_say(wanted: RequestFilter, *, meant: bool) -> None:
    assert dead_letters.matches(_letter("gen.requested.layout.a", _BODY), wanted) is meant
