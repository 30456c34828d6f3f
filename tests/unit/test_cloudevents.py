"""Does the CloudEvents SDK read every message that stages and clients publish?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from understudy_client import protocol

from contracts import envelope
from contracts import events as ev
from contracts.outcome import Schedule, Submit
from infra.runner import messages
from infra.runner.messages import Message, Sender

_SAMPLES = sorted(Path(__file__).with_name("event_samples").glob("*.json"))
_KIND, _ID = "layout", "player:42"
_SENDER = Sender(stage="fallback", now=1_763_000_000.25, traceparent=protocol.child_of(None), request_seq=7)


def published() -> Iterator[tuple[str, Message]]:
    """Each sample as a stage publishes it, by its name and version."""
    for sample in _SAMPLES:
        name, version, _ = sample.name.split(".")
        body = sample.read_bytes()
        if name == "requested":
            made = messages.of_order(Submit(kind=_KIND, request_id=_ID, body=body), sender=_SENDER)
        elif name == "dead":
            letter = msgspec.json.decode(body, type=ev.DeadLetter)
            made = messages.of_letter(letter, kind=_KIND, request_id=_ID, sender=_SENDER)
        else:
            event = envelope.decode(name, body, {})
            assert isinstance(event, ev.Event)
            made = messages.of_event(event, kind=_KIND, request_id=_ID, sender=_SENDER)
        yield f"{name}.{version}", made


_PUBLISHED = dict(published())


def read(headers: dict[str, str], body: bytes) -> CloudEvent:
    """A message as the SDK reads it: the bindings of NATS and HTTP have the same headers."""
    found = from_binary(HTTPMessage(headers=headers, body=body), JSONFormat(), CloudEvent)
    assert isinstance(found, CloudEvent)
    return found


@pytest.mark.parametrize("name", _PUBLISHED)
def test_the_sdk_reads_what_a_stage_publishes(name: str) -> None:
    message = _PUBLISHED[name]
    event = read(message.headers, message.body)
    letter = isinstance(message.event, ev.DeadLetter)
    prefix = "dev.understudy." if letter else "dev.understudy.gen."
    assert (event.get_specversion(), event.get_type()) == ("1.0", prefix + name)
    assert event.get_source() == f"understudy/{'context-build' if letter else 'fallback'}"
    assert event.get_id()
    assert event.get_time() == datetime.fromtimestamp(_SENDER.now, UTC)
    assert event.get_datacontenttype() == "application/json"
    assert event.get_data() == json.loads(message.body)


def test_the_sdk_reads_a_timer_as_the_event_that_it_becomes() -> None:
    schedule = Schedule(event=ev.Deadline(request_seq=1, deadline_ms=60_000), at_ms=1_763_000_060_000)
    message = messages.of_schedule(schedule, kind=_KIND, request_id=_ID, sender=_SENDER)
    assert read(message.headers, message.body).get_type() == "dev.understudy.gen.deadline.v1"


@pytest.mark.parametrize("name", ["requested", "cancelled"])
def test_the_sdk_reads_what_a_client_publishes(name: str) -> None:
    body = b'{"prompt": "a forest"}'
    event = read(protocol.headers(name, kind=_KIND, request_id=_ID, body=body), body)
    assert (event.get_type(), event.get_source()) == (f"dev.understudy.gen.{name}.v1", "understudy/client")
    assert event.get_subject() == f"{_KIND}/{_ID}"
    assert event.get_data() == {"prompt": "a forest"}
