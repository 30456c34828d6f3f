"""Does the fold give the same record in any order and any repetition of the same events?"""

from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import events as ev
from contracts.errors import ErrorCode
from stages.audit.fold import Record, merge, open_since_ms, status
from tests.lives import BODY, START_MS, brief, letter, life, prose, received, records, stand_in, success

OTHER = b'{"prompt":"another prompt under the same id"}'


def _many() -> list[Record]:
    """One request that everything happens to: duplicates, two attempts, letters, a late success."""
    again = brief()
    events = [
        *life(),
        received(OTHER, sequence=9, at_ms=START_MS + 100),
        received(OTHER, sequence=10, at_ms=START_MS + 100, kind="plot"),
        received(BODY, sequence=11, at_ms=START_MS + 300),
        received(ev.ContextBuilt(attempt=2, brief=again), sequence=21, at_ms=START_MS + 21),
        received(ev.Drafted(attempt=2, brief=again, draft=prose("Two.")), sequence=22, at_ms=START_MS + 22),
        received(
            ev.Failed(
                attempt=1, code=ErrorCode.GEN_TIMEOUT, stage="structuring", message="late", evidence="x"
            ),
            sequence=23,
            at_ms=START_MS + 22,
        ),
        received(stand_in("r-1", ErrorCode.GEN_TIMEOUT), sequence=24, at_ms=START_MS + 20),
        received(
            letter("gen.requested.layout.r-1", stream="REQUESTS", sequence=1, body=BODY),
            sequence=5,
            at_ms=START_MS + 22,
        ),
        received(
            letter("gen.requested.layout.r-1", stream="REQUESTS", sequence=9, body=OTHER),
            sequence=6,
            at_ms=START_MS + 400,
        ),
        received(
            ev.Revised(revised_by="rp-5-1", **_fields(success("r-1"))), sequence=30, at_ms=START_MS + 900
        ),
    ]
    return [*records(events), *records(events[:1], store_prompts=False)]


def _fields(result: ev.Result) -> dict[str, object]:
    return {name: getattr(result, name) for name in result.__struct_fields__}


MANY = _many()
PIECES = st.sampled_from(MANY)
MERGED = st.lists(PIECES, min_size=1, max_size=4).map(lambda pieces: reduce(merge, pieces))


@given(MERGED, MERGED, MERGED)
def test_merging_is_associative(a: Record, b: Record, c: Record) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(MERGED, MERGED)
def test_merging_is_commutative(a: Record, b: Record) -> None:
    assert merge(a, b) == merge(b, a)


@given(MERGED, MERGED)
def test_merging_again_changes_nothing(a: Record, b: Record) -> None:
    both = merge(a, b)
    assert merge(both, a) == merge(both, both) == both


@settings(max_examples=50)
@given(st.permutations(MANY), st.lists(PIECES))
def test_any_order_and_repetition_gives_the_same_record(
    shuffled: list[Record], repeated: list[Record]
) -> None:
    assert reduce(merge, [*shuffled, *repeated]) == reduce(merge, MANY)


def test_the_first_request_with_an_id_is_the_request() -> None:
    found = reduce(merge, reversed(MANY))
    assert found.kind == "layout"
    assert found.asked is not None
    assert (found.asked.sequence, found.asked.unread) == (1, False)


def test_a_terminal_state_beats_a_running_one() -> None:
    before = reduce(merge, records(life()[:4]))
    assert status(before) == "running"
    assert status(merge(before, records(life())[-1])) == "success"
    assert status(merge(records(life())[-1], before)) == "success"


def test_the_highest_attempt_wins() -> None:
    found = reduce(merge, MANY)
    assert found.step is not None
    assert (found.step.attempt, found.step.event, found.step.draft) == (2, "drafted", "Two.")


def test_the_first_result_is_the_end() -> None:
    found = reduce(merge, MANY)
    assert found.end is not None
    assert found.end.result["status"] == "fail_fallback"


def test_a_request_waits_until_a_stage_takes_it_up() -> None:
    asked = records(life()[:1])[0]
    assert status(asked) == "pending"
    failed = received(
        ev.Failed(attempt=1, code=ErrorCode.GEN_INTERNAL, stage="context-build", message="?"), sequence=2
    )
    assert status(merge(asked, records([failed])[0])) == "running"


def test_a_letter_about_junk_is_no_request() -> None:
    junk = letter("gen.drafted.layout.r-1", stream="EVENTS", sequence=4, body=b"junk")
    assert status(records([received(junk, sequence=1)])[0]) == "unknown"


def test_a_request_is_open_until_its_result() -> None:
    asked, *_, result = records(life())
    assert open_since_ms(asked) == START_MS
    assert open_since_ms(merge(asked, result)) is None


def test_a_request_after_the_result_is_open_until_a_later_result() -> None:
    ended = reduce(merge, records(life()))
    again = merge(ended, records(life(first=101, at_ms=START_MS + 10**9))[0])
    assert open_since_ms(again) == START_MS + 10**9
    assert open_since_ms(reduce(merge, [again, *records(life(first=101, at_ms=START_MS + 10**9))])) is None


def test_records_of_different_requests_do_not_merge() -> None:
    with pytest.raises(ValueError, match="'r-1' and 'r-2'"):
        merge(records(life("r-1"))[0], records(life("r-2"))[0])
