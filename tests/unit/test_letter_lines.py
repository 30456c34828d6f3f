"""Which request does a listing of dead letters name, and what does it say where it cannot?"""

from __future__ import annotations

import msgspec
import pytest

from contracts import subjects
from contracts.errors import ErrorCode
from contracts.events import DeadLetter
from infra.cli import show
from infra.inspect import dead_letters
from infra.inspect.dead_letters import Letter
from infra.nats.log import LogEntry


def unaddressed(subject: str) -> Letter:
    """The letter of a message whose subject is none of a request's."""
    dead = DeadLetter(
        code=ErrorCode.GEN_INVALID_REQUEST,
        reason="no subject of a request",
        stage="audit",
        stream="EVENTS",
        sequence=7,
        subject=subject,
        time_ms=1000,
        deliveries=1,
    )
    return read(subjects.dead_unknown("audit", "EVENTS", 7), msgspec.json.encode(dead))


def read(subject: str, body: bytes) -> Letter:
    return dead_letters.read(
        LogEntry(stream="DEAD", sequence=3, subject=subject, time_ns=1, headers={}, body=body)
    )


ADVISORY = read(
    "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.REQUESTS.x", b'{"stream": "REQUESTS", "stream_seq": 5}'
)


@pytest.mark.parametrize(
    ("subject", "kind", "request_id", "answerable"),
    [
        ("gen.requested.layout.player#1", "layout", "player#1", False),
        ("gen.failed.dragon.j-1", None, "j-1", False),
        ("gen.failed.layout.j-1.b.c", "layout", "j-1.b.c", False),
        ("gen.failed.layout.\u202e", "layout", None, False),
        ("gen.failed.layout", None, None, False),
        ("gen.failed.layout.j-1", "layout", "j-1", True),
    ],
)
def test_a_letter_has_the_id_of_its_messages_subject(
    subject: str, kind: str | None, request_id: str | None, *, answerable: bool
) -> None:
    letter = unaddressed(subject)
    assert (letter.kind, letter.request_id, letter.answerable) == (kind, request_id, answerable)


def test_letters_with_an_id_have_no_column_of_notes() -> None:
    head, row = (each.plain for each in show.letter_lines([unaddressed("gen.requested.layout.player#1")]))
    assert "note" not in head
    assert row.split()[4:8] == ["audit", "layout", "player#1", "GEN_INVALID_REQUEST"]


@pytest.mark.parametrize(
    ("letter", "place", "note"),
    [
        (unaddressed("gen.failed.layout"), "EVENTS 7", "no id in its subject"),
        (ADVISORY, "REQUESTS 5", "advisories name no request"),
        (read("dead.a", b"?"), "?", "unreadable letter"),
    ],
)
def test_a_letter_without_an_id_has_the_place_of_its_message_and_a_note(
    letter: Letter, place: str, note: str
) -> None:
    lines = show.letter_lines([unaddressed("gen.failed.layout.j-1"), letter])
    head, named, nameless = (each.plain for each in lines)
    at = {name: head.index(name) for name in ("request", "code", "note", "reason")}
    assert nameless[at["request"] : at["code"]].strip() == place
    assert nameless[at["note"] : at["reason"]].strip() == note
    assert named[at["request"] : at["code"]].strip() == "j-1"
    assert not named[at["note"] : at["reason"]].strip()
