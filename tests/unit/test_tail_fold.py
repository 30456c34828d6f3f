"""Fold of a busy tail: which events keep their line, and what the others are counted as."""

from __future__ import annotations

import msgspec

from contracts import events as ev
from contracts.errors import ErrorCode
from infra.inspect import record
from infra.inspect.record import LogRecord
from infra.inspect.tail_fold import NOTABLE, ORDINARY, WINDOW_S, TailFold, describe
from infra.nats.log import LogEntry
from tests import lives


def _line(name: str, body: object, request_id: str) -> LogRecord:
    entry = LogEntry(
        stream="EVENTS",
        sequence=1,
        subject=f"gen.{name}.layout.{request_id}",
        time_ns=1,
        headers={},
        body=msgspec.json.encode(body),
    )
    return record.decode(entry)


def _asked(number: int) -> LogRecord:
    return _line("requested", {"prompt": "a forest"}, f"r-{number}")


def _failed(number: int) -> LogRecord:
    failed = ev.Failed(attempt=1, code=ErrorCode.GEN_TIMEOUT, stage="freeform-gen", message="too slow")
    return _line("failed", failed, f"r-{number}")


def test_a_quiet_tail_has_a_line_for_each_event() -> None:
    fold = TailFold()
    for second in range(3):
        assert all(fold.shows(_asked(number), float(second)) for number in range(ORDINARY))
        assert fold.ended(second + WINDOW_S) is None
    assert fold.finish() is None


def test_a_busy_tail_counts_what_it_does_not_show() -> None:
    fold = TailFold()
    shown = [fold.shows(_asked(number), 0.0) for number in range(ORDINARY + 300)]
    shown += [fold.shows(_line("result", lives.success("r-1"), "r-1"), 0.5)]
    shown += [fold.shows(_line("result", lives.stand_in("r-2", ErrorCode.GEN_TIMEOUT), "r-2"), 0.5)]
    assert (sum(shown), shown[-2:]) == (ORDINARY + 1, [False, True])
    assert fold.ended(WINDOW_S / 2) is None
    folded = fold.ended(WINDOW_S)
    assert folded is not None
    assert (folded.messages, folded.requests) == (301, 301)
    assert folded.events == (("requested", 300), ("success", 1))
    assert describe(folded) == "301 more of 301 requests: 300 requested, 1 success"
    assert fold.shows(_asked(1), WINDOW_S)


def test_failures_keep_their_lines_up_to_a_bound_and_are_counted_by_code() -> None:
    fold = TailFold()
    for number in range(ORDINARY):
        assert fold.shows(_asked(number), 0.0)
    shown = [fold.shows(_failed(number), 0.1) for number in range(NOTABLE + 2)]
    assert shown == [True] * NOTABLE + [False] * 2
    ended = lives.stand_in("r-9", ErrorCode.GEN_TIMEOUT)
    assert not fold.shows(_line("result", ended, "r-9"), 0.2)
    folded = fold.finish()
    assert folded is not None
    assert folded.events == (("failed", 2), ("fail_fallback GEN_TIMEOUT", 1))
