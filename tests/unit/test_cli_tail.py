"""Tail: what a pattern watches, and what becomes of messages that cannot be read in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import pipeline
from infra.inspect.tail import PatternError, intersect, resolve
from infra.nats import ordered
from infra.nats.inbox import BoundedInbox
from infra.nats.log import LogEntry
from infra.nats.ordered import LogGap

_TOKEN = st.sampled_from(["gen", "dead", "failed", "result", "layout", "r1"])
_SUBJECT = st.lists(_TOKEN, min_size=1, max_size=5)
_PATTERN = st.tuples(st.lists(st.one_of(_TOKEN, st.just("*")), min_size=1, max_size=4), st.booleans()).map(
    lambda parts: [*parts[0], ">"] if parts[1] else parts[0]
)


def _matches(pattern: list[str], subject: list[str]) -> bool:
    """NATS' own rule, written the other way round."""
    if pattern[-1] == ">":
        head = pattern[:-1]
        return len(subject) > len(head) and _matches([*head, *subject[len(head) :]], subject)
    return len(pattern) == len(subject) and all(
        want in ("*", have) for want, have in zip(pattern, subject, strict=True)
    )


@given(_PATTERN, _PATTERN, _SUBJECT)
def test_what_meets_is_what_both_match(one: list[str], other: list[str], subject: list[str]) -> None:
    met = intersect(".".join(one), ".".join(other))
    both = _matches(one, subject) and _matches(other, subject)
    assert both == (met is not None and _matches(met.split("."), subject))


def test_everything_is_every_stored_subject_and_live_text() -> None:
    what = resolve(None, None, progress=True)
    assert what.streams == {
        stream: pipeline.stream_subjects(stream)
        for stream in (pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD)
    }
    assert what.progress == ("gen.progress.>", "gen.shadow_progress.>")


def test_live_text_is_left_out_unless_it_is_asked_for() -> None:
    assert resolve(None, None).progress == ()
    assert resolve("gen.>", None).progress == ()
    assert resolve("gen.progress.>", None).progress == ("gen.progress.>",)
    assert resolve(None, "r1").progress == ("gen.progress.*.r1", "gen.shadow_progress.*.r1")
    assert resolve(None, "r1", progress=False).progress == ()


async def test_deleted_messages_are_reported_and_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = LogEntry(
        stream="EVENTS", sequence=3, subject="gen.failed.layout.a", time_ns=1, headers={}, body=b""
    )
    starts: list[int] = []

    async def until_lost(_: object, __: str, ___: tuple[str, ...], start: int) -> AsyncIterator[LogEntry]:
        starts.append(start)
        yield msgspec.structs.replace(entry, sequence=start)

    async def first_sequence(_: object, __: str) -> int:
        return 10 if starts else 1

    monkeypatch.setattr(ordered, "_AGAIN_S", 0.0)
    monkeypatch.setattr(ordered, "_until_lost", until_lost)
    monkeypatch.setattr(ordered, "_first_sequence", first_sequence)
    gaps: list[LogGap] = []
    coming = ordered.follow(None, "EVENTS", (">",), start=3, on_gap=gaps.append)  # type: ignore[arg-type]
    async with aclosing(coming):
        found = [(await anext(coming)).sequence for _ in range(3)]
    assert (found, starts) == ([3, 10, 11], [3, 10, 11])
    assert gaps == [LogGap(stream="EVENTS", sequence=4, deleted=6)]


async def test_an_inbox_waits_or_drops_when_it_is_full() -> None:
    inbox: BoundedInbox[int] = BoundedInbox(2)
    await inbox.put(1)
    inbox.offer(2)
    inbox.offer(3)
    waiting = asyncio.create_task(inbox.put(4))
    await asyncio.sleep(0)
    assert (inbox.dropped, waiting.done()) == (1, False)
    assert await inbox.take(None) == [1, 2]
    await waiting
    assert await inbox.take(None) == [4]
    assert await inbox.take(0.0) == []


def test_one_event_is_looked_for_in_its_stream_alone() -> None:
    what = resolve("gen.failed.>", None)
    assert (what.streams, what.progress) == ({"EVENTS": ("gen.failed.>",)}, ())


def test_one_request_is_looked_for_everywhere() -> None:
    what = resolve(None, "r1")
    assert "gen.requested.layout.r1" in what.streams["REQUESTS"]
    assert {each.rpartition(".")[2] for each in what.streams["REQUESTS"]} == {"r1"}
    assert "gen.result.*.r1" in what.streams["EVENTS"]
    assert what.streams["DEAD"] == ("dead.*.*.r1",)
    assert what.progress == ("gen.progress.*.r1", "gen.shadow_progress.*.r1")


@pytest.mark.parametrize("pattern", ["gen..x", "gen.>.x", "gen fail", "gen.fa*", "orders.>"])
def test_a_pattern_that_cannot_match_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        resolve(pattern, None)


def test_an_empty_pattern_matches_everything() -> None:
    assert resolve("", None) == resolve(None, None)


def test_a_bad_id_is_refused() -> None:
    with pytest.raises(PatternError, match="request id"):
        resolve(None, "a.b")


def test_an_id_that_is_rejected_has_events() -> None:
    assert "gen.result.*.player#1" in resolve(None, "player#1").streams["EVENTS"]
