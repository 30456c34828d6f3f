"""Does the fold give the same record in any order and any repetition of the same events?"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import events as ev
from contracts.errors import ErrorCode
from stages.audit.fold import (
    REPEATED,
    UNREQUESTED,
    LifeView,
    RequestRecord,
    merge,
    open_since_ms,
    seen,
    status,
)
from tests.lives import BODY, START_MS, brief, letter, life, prose, received, records, stand_in, success
from tests.profiles import examples

OTHER = b'{"prompt":"another prompt under the same id"}'


def _many() -> list[RequestRecord]:
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


def _lives(pieces: Iterable[RequestRecord]) -> list[RequestRecord]:
    """Pieces of one id, merged life by life."""
    lives: dict[int, RequestRecord] = {}
    for piece in pieces:
        lives[piece.life_ms] = merge(lives[piece.life_ms], piece) if piece.life_ms in lives else piece
    return list(lives.values())


def _states(pieces: Iterable[RequestRecord]) -> list[tuple[int, str]]:
    """When each life began after the first one, and how far it is."""
    return [(each.record.life_ms - START_MS, _status(each)) for each in seen(_lives(pieces))]


def _status(one: LifeView) -> str:
    return status(one.shown, repeated=one.repeated)


MANY = _many()
FIRST = [each for each in MANY if each.life_ms == START_MS]
PIECES = st.sampled_from(FIRST)
MERGED = st.lists(PIECES, min_size=1, max_size=4).map(lambda pieces: reduce(merge, pieces))


@given(MERGED, MERGED, MERGED)
def test_merging_is_associative(a: RequestRecord, b: RequestRecord, c: RequestRecord) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(MERGED, MERGED)
def test_merging_is_commutative(a: RequestRecord, b: RequestRecord) -> None:
    assert merge(a, b) == merge(b, a)


@given(MERGED, MERGED)
def test_merging_again_changes_nothing(a: RequestRecord, b: RequestRecord) -> None:
    both = merge(a, b)
    assert merge(both, a) == merge(both, both) == both


@examples(50)
@given(st.permutations(MANY), st.lists(PIECES))
def test_any_order_and_repetition_gives_the_same_lives(
    shuffled: list[RequestRecord], repeated: list[RequestRecord]
) -> None:
    assert seen(_lives([*shuffled, *repeated])) == seen(_lives(MANY))


def test_the_first_request_with_an_id_is_the_request() -> None:
    found = reduce(merge, reversed(FIRST))
    assert found.kind == "layout"
    assert found.asked is not None
    assert (found.asked.sequence, found.asked.unread) == (1, False)


def test_a_terminal_state_beats_a_running_one() -> None:
    before = reduce(merge, records(life()[:4]))
    assert status(before) == "running"
    assert status(merge(before, records(life())[-1])) == "success"
    assert status(merge(records(life())[-1], before)) == "success"


def test_the_highest_attempt_wins() -> None:
    found = reduce(merge, FIRST)
    assert found.step is not None
    assert (found.step.attempt, found.step.event, found.step.draft) == (2, "drafted", "Two.")


def test_the_first_result_is_the_end() -> None:
    found = reduce(merge, FIRST)
    assert found.end is not None
    assert found.end.result["status"] == "fail_fallback"


def test_a_request_waits_until_a_stage_takes_it_up() -> None:
    asked = records(life()[:1])[0]
    assert status(asked) == "pending"
    failed = received(
        ev.Failed(attempt=1, code=ErrorCode.GEN_INTERNAL, stage="context-build", message="?"), sequence=2
    )
    assert _states([asked, *records([failed])])[-1] == (0, "running")


def test_a_letter_about_junk_is_no_request() -> None:
    junk = letter("gen.drafted.layout.r-1", stream="EVENTS", sequence=4, body=b"junk")
    assert status(records([received(junk, sequence=1)])[0]) == "unknown"


def test_a_request_is_open_until_its_result() -> None:
    asked, *_, result = records(life())
    assert open_since_ms(asked) == START_MS
    assert open_since_ms(merge(asked, result)) is None


AGAIN_MS = 10**9


def test_an_id_that_is_used_again_has_a_second_life() -> None:
    again = records(life(first=101, at_ms=START_MS + AGAIN_MS))
    pieces = [*records(life()), *again]
    assert _states(pieces) == [(0, "success"), (AGAIN_MS, "success")]
    first, second = seen(_lives(pieces))
    assert first.record == reduce(merge, records(life()))
    assert second.record == reduce(merge, again)
    assert _states(reversed(pieces)) == _states(pieces)


def test_asking_again_is_no_request_until_a_stage_takes_it_up() -> None:
    asked, taken, *_ = records(life(first=101, at_ms=START_MS + AGAIN_MS))
    assert _states([*records(life()), asked]) == [(0, "success"), (AGAIN_MS, REPEATED)]
    assert _states([*records(life()), asked, taken]) == [(0, "success"), (AGAIN_MS, "running")]


def test_of_those_who_asked_again_the_last_is_kept() -> None:
    again = [records(life(first=n, at_ms=START_MS + n))[0] for n in (7, 8, 9)]
    assert _states([*records(life()), *again]) == [(0, "success"), (9, REPEATED)]


def test_what_names_no_request_belongs_to_the_life_in_which_it_came() -> None:
    failed = ev.Failed(attempt=1, code=ErrorCode.GEN_INTERNAL, stage="context-build", message="second")
    came = records([received(failed, sequence=150, at_ms=START_MS + AGAIN_MS + 5)])
    asked, taken, *_ = records(life(first=101, at_ms=START_MS + AGAIN_MS))
    first, second = [
        each for each in seen(_lives([*records(life()), asked, taken, *came])) if each.record.life_ms
    ]
    assert first.shown.trouble is not None
    assert first.shown.trouble.message != "second"
    assert second.shown.trouble is not None
    assert second.shown.trouble.message == "second"


@pytest.mark.parametrize("claims", [START_MS + 3, None])
def test_a_result_that_no_request_wants_is_none(claims: int | None) -> None:
    forged = success("r-1", claims)  # type: ignore[arg-type]
    pieces = records([life()[0], received(forged, sequence=2, at_ms=START_MS + 5)])
    assert sorted(each for _, each in _states(pieces)) == ["pending", UNREQUESTED]


def test_records_of_different_requests_do_not_merge() -> None:
    with pytest.raises(ValueError, match=r"'r-1' of .* and 'r-2' of"):
        merge(records(life("r-1"))[0], records(life("r-2"))[0])
