"""Replays of dead letters: what they repeat, and which letters cannot be replayed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts import request
from contracts.errors import ErrorCode
from contracts.events import DeadLetter
from infra.cli import replay_show
from infra.inspect import dead_letters
from infra.inspect.dead_letters import Letter
from infra.inspect.request_filter import RequestFilter
from infra.nats.log import LogEntry
from infra.replay import letters, plans
from infra.replay.letters import Repeated, Unreplayable
from infra.replay.origins import ReplayOrigin
from infra.replay.plans import ReplayOptions
from infra.replay.undo import UndoReport

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


def _origin(letter: Letter, found: Repeated, replay_of: str | None) -> ReplayOrigin:
    return ReplayOrigin(
        stream="DEAD",
        sequence=letter.sequence,
        letter=letter.sequence,
        kind=found.kind,
        body=found.body,
        replay_of=replay_of,
    )


def _body(letter: Letter, found: Repeated, replay_of: str | None) -> dict[str, Any]:
    return msgspec.json.decode(plans.compose(_origin(letter, found, replay_of), ReplayOptions()))


def test_a_letter_of_a_request_repeats_its_body_with_lineage() -> None:
    subject = "gen.requested.layout.hello"
    letter = _letter(subject, _BODY)
    found = letters.resolve(letter, None, _entry(subject, _BODY))
    assert (found.kind, found.request_id) == ("layout", "hello")
    assert plans.make_replay_id(_origin(letter, found, "hello"), 1) == "rp-12-1"
    assert _body(letter, found, "hello") == {"prompt": "a forest", "seed": 7, "replay_of": "hello"}


def test_a_letter_of_a_later_stage_repeats_the_original_request() -> None:
    letter = _letter("gen.drafted.layout.hello", b"\x00torn", stream="EVENTS")
    found = letters.resolve(letter, None, _entry("gen.requested.layout.hello", _BODY))
    assert (found.body, found.request_id) == (_BODY, "hello")


def test_a_later_request_under_a_used_id_never_was_that_request() -> None:
    letter = _letter("gen.requested.layout.hello", b'{"prompt": "another"}', sequence=9)
    found = letters.resolve(letter, None, _entry("gen.requested.layout.hello", _BODY, sequence=5))
    assert found.request_id is None
    assert _body(letter, found, None) == {"prompt": "another"}


def test_a_replay_of_a_replay_says_only_the_first_request() -> None:
    subject = "gen.requested.layout.rp-3-1"
    body = b'{"prompt": "a forest", "replayOf": "hello", "fromStage": "structuring"}'
    letter = _letter(subject, body)
    found = letters.resolve(letter, None, _entry(subject, body))
    assert letters.find_claimed_root(found.body) == "hello"
    assert _body(letter, found, "hello") == {"prompt": "a forest", "replay_of": "hello"}


def test_the_longest_id_still_makes_a_valid_request() -> None:
    subject = f"gen.requested.layout.{'x' * 64}"
    letter = _letter(subject, _BODY)
    body = plans.compose(_origin(letter, letters.resolve(letter, None, None), "x" * 64), ReplayOptions())
    assert request.read(body, "layout").replay_of == "x" * 64


@pytest.mark.parametrize(
    ("letter", "original", "says"),
    [
        (_letter("gen.requested.castle.a", _BODY), None, "kind 'castle'"),
        (_letter("gen.requested.layout.a", None, size=600_000), None, "600000 bytes"),
        (
            _letter("gen.drafted.layout.a", b"{}", stream="EVENTS"),
            None,
            "the log has no request a: there never was one",
        ),
        (_letter("gen.requested.layout.sh-1-a", _BODY), None, "is a shadow"),
        (_letter("gen.drafted.layout.sh-1-a", b"{}", stream="EVENTS"), None, "is a shadow"),
    ],
)
def test_what_cannot_become_a_request_says_why(letter: Letter, original: LogEntry | None, says: str) -> None:
    with pytest.raises(Unreplayable, match=says):
        letters.resolve(letter, None, original)


@pytest.mark.parametrize("body", [b"\xff", b"[1]"])
def test_a_body_that_is_no_object_cannot_be_composed(body: bytes) -> None:
    letter = _letter("gen.requested.layout.a", body)
    with pytest.raises(Unreplayable, match="not a JSON object"):
        _body(letter, letters.resolve(letter, None, None), "a")


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
    found = letters.resolve(_advisory("MAX_DELIVERIES"), cause, cause)
    assert (found.request_id, found.body) == ("hello", _BODY)


def test_an_advisory_about_a_lost_message_cannot_be_replayed() -> None:
    with pytest.raises(Unreplayable, match="no longer"):
        letters.resolve(_advisory("MAX_DELIVERIES"), None, None)


def test_text_is_found_in_strings_and_not_in_keys() -> None:
    letter = _letter("gen.requested.layout.a", b'{"prompt": "Gr\\u00f6\\u00dfe \\"und\\" Drache"}')
    for text, meant in (("größe", True), ('e "und" d', True), ("prompt", False)):
        assert dead_letters.matches(letter, RequestFilter(text=text)) is meant
    assert dead_letters.matches(
        _letter("gen.requested.layout.a", b"{ a torn prompt"), RequestFilter(text="torn")
    )


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


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (1, ["job 3: 1 replay undone, 0 of them", "1 earlier result published again; 1 cache entry removed"]),
        (
            1_200,
            ["1,200 replays undone", "1,200 earlier results published again; 1,200 cache entries removed"],
        ),
    ],
)
def test_an_undo_is_shown_with_its_counts(
    number: int, says: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    replay_show.print_undo(
        UndoReport(job=3, undone=number, cancelled=0, uncached=number, put_back=0, restored=number)
    )
    out = capsys.readouterr().out
    assert [each for each in says if each not in out] == []
