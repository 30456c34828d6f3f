"""Does every stored event decode for ever?

One file per event version, as it was stored.  A file never changes: what a new version writes is
another file, and the old one must go on being read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import envelope, pipeline, request
from contracts import events as ev
from contracts.errors import NewerVersion, Unreadable

SAMPLES = sorted(Path(__file__).with_name("event_samples").glob("*.json"))
#: What is on the wire and has a struct.
BODIES = {row.event: row.body for row in pipeline.ROWS if row.body} | {"dead": ev.DeadLetter}
_NAMES = [sample.name for sample in SAMPLES]


def _read(sample: Path) -> tuple[str, Any]:
    name = sample.name.split(".")[0]
    body = sample.read_bytes()
    if name == "requested":
        return name, request.read(body, "layout")
    if name == "dead":
        return name, msgspec.json.decode(body, type=ev.DeadLetter)
    return name, envelope.decode(name, body, {})


def _within(read: Any, stored: Any) -> bool:
    """Is all that was stored in what is read? Later fields may be there beside it."""
    if isinstance(stored, dict) and isinstance(read, dict):
        return all(name in read and _within(read[name], value) for name, value in stored.items())
    if isinstance(stored, list) and isinstance(read, list):
        return len(read) == len(stored) and all(map(_within, read, stored))
    return bool(read == stored)


def test_every_event_version_has_its_file() -> None:
    wanted = {
        f"{name}.v{version}.json"
        for name, body in BODIES.items()
        for version in range(1, getattr(body, "version", 1) + 1)
    }
    assert set(_NAMES) == wanted | {"requested.v1.json"}


@pytest.mark.parametrize("sample", SAMPLES, ids=_NAMES)
def test_a_stored_event_is_read_with_everything_it_says(sample) -> None:
    name, event = _read(sample)
    if name == "requested":
        assert event.model_dump(mode="json", by_alias=True, exclude_unset=True) == json.loads(
            sample.read_bytes()
        )
        return
    assert _within(json.loads(msgspec.json.encode(event)), json.loads(sample.read_bytes()))


@pytest.mark.parametrize("sample", [each for each in SAMPLES if not each.name.startswith("requested")])
def test_a_field_of_a_later_build_is_ignored(sample) -> None:
    name, event = _read(sample)
    body = json.dumps({**json.loads(sample.read_bytes()), "of_a_later_build": {"x": [1]}}).encode()
    decoded = (
        msgspec.json.decode(body, type=ev.DeadLetter) if name == "dead" else envelope.decode(name, body, {})
    )
    assert decoded == event


@pytest.mark.parametrize("name", [name for name in BODIES if name != "dead"])
def test_a_later_version_is_parked_not_misread(name) -> None:
    for version in (BODIES[name].version + 1, 10**20):
        later = {"ce-type": f"{envelope.TYPE_PREFIX}{name}.v{version}"}
        with pytest.raises(NewerVersion, match=rf"{name} v\d+ is newer than v\d+"):
            envelope.decode(name, b"{}", later)


@pytest.mark.parametrize(
    ("name", "body", "headers", "said"),
    [
        ("drafted", b"", {}, "the body of drafted cannot be read"),
        ("drafted", b"\xff\x00", {}, "the body of drafted cannot be read"),
        ("drafted", b'{"attempt": "one"}', {}, "`$.attempt`"),
        ("drafted", b"[" * 100_000, {}, "the body of drafted cannot be read"),
        ("drafted", b"{}", {"ce-type": f"{envelope.TYPE_PREFIX}failed.v1"}, "ce-type says 'failed'"),
        ("nonsense", b"{}", {}, "event 'nonsense' is unknown"),
        ("timer", b"{}", {}, "a timer needs the header Nats-Schedule"),
    ],
)
def test_what_cannot_be_read_is_told(name, body, headers, said) -> None:
    with pytest.raises(Unreadable) as told:
        envelope.decode(name, body, headers)
    assert said in str(told.value)


def test_headers_say_what_cloudevents_asks_for() -> None:
    made = envelope.headers(
        name="drafted",
        version=1,
        kind="plot",
        request_id="r-1",
        stage="freeform-gen",
        attempt=2,
        time="2026-01-01T00:00:00Z",
        traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        request_seq=7,
    )
    assert made["ce-specversion"] == "1.0"
    assert made["ce-type"] == "dev.understudy.gen.drafted.v1"
    assert made["ce-source"] == "understudy/freeform-gen"
    assert made["ce-id"] == made[envelope.MSG_ID] == "r-1:7:freeform-gen:drafted:2"


def test_two_stages_events_are_not_taken_for_one() -> None:
    ids = {
        envelope.message_id("r-1", 7, stage, "failed", attempt)
        for stage in pipeline.STAGES
        for attempt in (1, 2)
    }
    assert len(ids) == 2 * len(pipeline.STAGES)
