"""Reviews in both databases: the queue, blind pairs, undo, the report, and what a purge leaves."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, func, select

from contracts.ownership import PurgeScope, ScopeKind
from contracts.result import Cost
from contracts.reviews import ReviewMode, ReviewScore
from infra.app.review_desk import ReviewDesk, ReviewQueue
from infra.inspect.request_filter import RequestFilter
from infra.inspect.review_grouping import ReviewGrouping
from infra.inspect.review_report import LEAST_RESULTS, read_report
from infra.purge import database_rows
from infra.purge.persons_requests import PersonsRequests
from infra.stores import database, reviews, row_redaction
from infra.stores.review_tables import REVIEWS
from tests.broker.audit_fixtures import database_url, engine, postgres
from tests.reviewing import EVERYTHING, START_MS, dialogue, record, score_next, store

__all__ = ["database_url", "engine", "postgres"]


def ask(
    engine: Engine,
    reviewer: str = "anna",
    mode: ReviewMode = ReviewMode.SINGLE,
    *,
    where: RequestFilter = EVERYTHING,
    seed: str | None = None,
    workspace: str | None = None,
) -> ReviewQueue:
    return ReviewDesk(engine, reviewer, workspace=workspace).next(where, mode, seed=seed, now_ms=START_MS)


def titles(found: ReviewQueue) -> list[str]:
    assert found.item is not None
    return [each.content["title"] for each in found.item.sides]


def skip(engine: Engine, found: ReviewQueue, reviewer: str = "anna") -> None:
    assert found.item is not None
    ReviewDesk(engine, reviewer).decide(found.item.item, None, keeps_words=True, now_ms=START_MS)


def test_the_queue_has_results_of_models_alone_fewest_scores_first_then_newest(engine: Engine) -> None:
    store(
        engine,
        [
            record("old", at=1),
            record("new", at=3),
            record("middle", at=2, origin="cache"),
            record("stand-in", at=9, origin="golden_sample"),
            record("too-large", at=8, left_out=True),
        ],
    )
    score_next(engine, "ben", 4, request_id="new")
    order: list[str] = []
    while (found := ask(engine)).item is not None:
        assert found.gone == 1
        order += titles(found)
        skip(engine, found)
    assert order == ["middle", "old", "new"]


def test_an_item_stays_open_until_it_is_decided_and_comes_once(engine: Engine) -> None:
    store(engine, [record("one", at=1)])
    first = ask(engine)
    store(engine, [record("two", at=2)])
    assert ask(engine) == msgspec.structs.replace(first, waiting=2)
    skip(engine, first)
    assert titles(ask(engine)) == ["two"]
    # Another filter closes what is open.
    assert ask(engine, where=RequestFilter(kind=("plot",))).item is None
    assert titles(ask(engine, "ben", seed="x")) in (["one"], ["two"])


def test_a_seed_draws_the_same_order_again(engine: Engine) -> None:
    store(engine, [record(f"r-{number}", at=number) for number in range(12)])

    def draw(reviewer: str, seed: str) -> list[str]:
        order: list[str] = []
        while (found := ask(engine, reviewer, seed=seed)).item is not None:
            order += titles(found)
            skip(engine, found, reviewer)
        return order

    drawn = [draw("anna", "x"), draw("ben", "x"), draw("cleo", "y")]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] != sorted(drawn[0], reverse=True)
    assert sorted(drawn[2]) == sorted(drawn[0])


def test_an_equal_content_is_not_shown_twice(engine: Engine) -> None:
    same = dialogue("the same")
    store(engine, [record("one", at=1, content=same), record("copy", at=2, content=same, origin="cache")])
    score_next(engine, "anna", 4)
    assert ask(engine).item is None
    assert ask(engine).gone == 0


def test_pairs_prefer_the_same_request_and_then_another_variant(engine: Engine) -> None:
    store(
        engine,
        [
            record("other", at=9),
            record("node-a", at=8, asked={"node": {"id": "gate"}}),
            record("node-b", at=7, asked={"node": {"id": "gate"}}),
            record("same-1", at=3, input_hash="a" * 64),
            record("same-2", at=2, input_hash="a" * 64),
            record("same-3", at=1, input_hash="a" * 64, prompt_version="layout@2"),
        ],
    )
    shown: list[set[str]] = []
    while (found := ask(engine, mode=ReviewMode.PAIR)).item is not None:
        shown.append(set(titles(found)))
        skip(engine, found)
    assert shown == [{"same-1", "same-3"}, {"node-a", "node-b"}, {"other", "same-2"}]


def test_sides_are_drawn_and_the_same_again(engine: Engine) -> None:
    store(engine, [record("a", at=1, input_hash="a" * 64), record("b", at=2, input_hash="a" * 64)])
    sides = [tuple(titles(ask(engine, f"reviewer {number}", ReviewMode.PAIR))) for number in range(40)]
    assert 8 <= sides.count(("a", "b")) <= 32
    again = [tuple(titles(ask(engine, f"reviewer {number}", ReviewMode.PAIR))) for number in range(40)]
    assert again == sides


def test_nothing_tells_what_wrote_an_item_until_it_is_scored(engine: Engine) -> None:
    known = {"model": "MARK-model", "provider": "MARK-provider", "prompt_version": "MARK@1"}
    arm = {"name": "MARK-tone", "arm": "cool", "unit": "u", "revision": "1"}
    more: dict[str, Any] = {
        **known,
        "experiment": arm,
        "cost": msgspec.to_builtins(Cost(amount=0.125)),
        "evaluation": {"state": "scored", "score": 2.5},
    }
    store(
        engine,
        [
            record(f"MARK-{n}", at=n, input_hash="a" * 64, content=dialogue(f"t{n}"), **more, seed=n)
            for n in (1, 2)
        ],
    )
    score_next(engine, "ben", 1, request_id="MARK-1")
    found = ask(engine, mode=ReviewMode.PAIR)
    told = msgspec.json.encode(found).decode()
    assert "MARK" not in told
    assert "0.125" not in told
    assert set(msgspec.to_builtins(found.item)["sides"][0]) == {"wish", "content"}
    assert found.item is not None
    desk = ReviewDesk(engine, "anna")
    scores = [ReviewScore(score=5), ReviewScore(score=3)]
    done = desk.decide(found.item.item, scores, keeps_words=True, now_ms=START_MS)
    assert (done.preferred, [each.score for each in done.sides]) == ("left", [5, 3])
    by_id = {each.request_id: each for each in done.sides}
    one = by_id["MARK-1"]
    assert (one.model, one.provider, one.arm, one.cost) == (
        "MARK-model",
        "MARK-provider",
        "MARK-tone/cool",
        0.125,
    )
    assert (one.others, one.others_mean, one.judged) == (1, 1.0, 2.5)
    assert by_id["MARK-2"].others == 0


def test_a_skipped_item_is_not_revealed(engine: Engine) -> None:
    store(engine, [record("one")])
    found = ask(engine)
    assert found.item is not None
    done = ReviewDesk(engine, "anna").decide(found.item.item, None, keeps_words=True, now_ms=START_MS)
    assert (done.state, done.sides) == ("skipped", ())


def test_the_same_score_again_changes_nothing_and_another_one_is_refused(engine: Engine) -> None:
    store(engine, [record("one")])
    found = ask(engine)
    assert found.item is not None
    name, desk = found.item.item, ReviewDesk(engine, "anna")
    four = [ReviewScore(score=4, tags=("vivid",), note=" good \x00 ")]
    first = desk.decide(name, four, keeps_words=True, now_ms=START_MS)
    assert first == desk.decide(name, four, keeps_words=True, now_ms=START_MS + 5)
    assert (first.sides[0].tags, first.sides[0].note) == (("vivid",), "good \ufffd")
    with pytest.raises(reviews.ReviewConflict, match="undo it first"):
        desk.decide(name, [ReviewScore(score=5)], keeps_words=True, now_ms=START_MS)
    with pytest.raises(reviews.ReviewRefused, match="has 1 content: give one score"):
        desk.decide(name, [*four, *four], keeps_words=True, now_ms=START_MS)
    with pytest.raises(reviews.ReviewUnknown, match="ben has no item"):
        ReviewDesk(engine, "ben").decide(name, four, keeps_words=True, now_ms=START_MS)


def test_undo_opens_the_last_item_and_says_that_it_was_revealed(engine: Engine) -> None:
    store(engine, [record(f"r-{number}", at=number) for number in range(3)])
    score_next(engine, "anna", 2)
    score_next(engine, "anna", 5)
    score_next(engine, "ben", 3)
    desk = ReviewDesk(engine, "anna")
    back = desk.undo()
    assert (back.sides[0].content["title"], back.revealed) == ("r-1", True)
    assert ask(engine).item == back
    desk.decide(back.item, [ReviewScore(score=4)], keeps_words=True, now_ms=START_MS + 1)
    report = read_report(engine, ReviewGrouping.MODEL, EVERYTHING)
    assert (report.scores, report.revealed) == (3, 1)
    assert [desk.undo().sides[0].content["title"] for _ in range(2)] == ["r-1", "r-2"]
    with pytest.raises(reviews.ReviewUnknown, match="nothing that could be undone"):
        desk.undo()
    assert read_report(engine, ReviewGrouping.MODEL, EVERYTHING).reviewers == 1


def test_a_workspace_sees_its_own(engine: Engine) -> None:
    store(engine, [record("red", at=2, workspace="red"), record("blue", at=1, workspace="blue")])
    where = RequestFilter(workspace="blue")
    found = ask(engine, where=where, workspace="blue")
    assert titles(found) == ["blue"]
    other = ask(engine)
    assert other.item is not None
    with pytest.raises(reviews.ReviewUnknown):
        ReviewDesk(engine, "anna", workspace="blue").find_side(other.item.item, 0)


def test_notes_are_refused_where_no_words_are_kept_and_go_when_they_are_redacted(engine: Engine) -> None:
    store(engine, [record("one"), record("two", at=1)])
    found = ask(engine)
    assert found.item is not None
    desk = ReviewDesk(engine, "anna")
    noted = [ReviewScore(score=4, tags=("dull",), note="he says: aha")]
    with pytest.raises(reviews.ReviewRefused, match=r"audit\.store_prompts is off"):
        desk.decide(found.item.item, noted, keeps_words=False, now_ms=START_MS)
    desk.decide(found.item.item, noted, keeps_words=True, now_ms=START_MS)
    row_redaction.redact_rows(engine)
    with database.reading(engine) as connection:
        assert connection.execute(select(REVIEWS.c.note, REVIEWS.c.tags)).all() == [(None, '["dull"]')]
    # The contents are gone too.
    assert (ask(engine).item, ask(engine).gone) == (None, 1)


def test_the_report_names_a_winner_only_with_enough_results(engine: Engine) -> None:
    number = LEAST_RESULTS
    store(
        engine,
        [
            record(
                f"{version}-{each}", at=each, input_hash=f"{each:064d}", prompt_version=f"layout@{version}"
            )
            for version in (1, 2)
            for each in range(number)
        ],
    )
    for count in range(number):
        found = ask(engine, mode=ReviewMode.PAIR)
        assert found.item is not None
        scores = [ReviewScore(score=5 if title[0] == "2" else 2, tags=("vivid",)) for title in titles(found)]
        desk = ReviewDesk(engine, "anna")
        desk.decide(found.item.item, scores, keeps_words=True, now_ms=START_MS + count)
        winner = read_report(engine, ReviewGrouping.PROMPT_VERSION, EVERYTHING).winner
        assert winner == (None if count < number - 1 else "layout@2"), count
    report = read_report(engine, ReviewGrouping.PROMPT_VERSION, EVERYTHING)
    best, worst = report.groups
    assert (best.name, best.mean, best.results, best.won, best.lost) == ("layout@2", 5.0, number, number, 0)
    assert (worst.name, worst.mean, worst.won, worst.lost) == ("layout@1", 2.0, 0, number)
    assert best.good.low > worst.good.high
    assert best.tags == (("vivid", number),)
    assert report.sentence.startswith("layout@2 is good more often")
    by_kind = read_report(engine, ReviewGrouping.KIND, EVERYTHING)
    assert [(each.name, each.won, each.tied) for each in by_kind.groups] == [("dialogue", 0, 0)]
    nothing = read_report(engine, ReviewGrouping.KIND, RequestFilter(kind=("plot",)))
    assert nothing.sentence == "Nothing is reviewed yet."


def test_a_purge_removes_the_reviews_of_its_requests_alone(engine: Engine) -> None:
    store(engine, [record("theirs", at=1), record("ours", at=2)])
    for reviewer in ("anna", "ben"):
        score_next(engine, reviewer, 4, request_id="theirs")
        score_next(engine, reviewer, 4, request_id="ours")
    scope = PurgeScope(kind=ScopeKind.ID, value="theirs")
    found = PersonsRequests(
        scope=scope,
        ids=frozenset({"theirs"}),
        reused=frozenset(),
        messages=frozenset(),
        stored_ms={},
        archived=frozenset({"theirs"}),
    )
    counted = database_rows.remove_rows(engine, found, dry_run=True)
    assert counted["reviews"] == 2
    assert database_rows.remove_rows(engine, found, dry_run=False) == counted
    with database.reading(engine) as connection:
        assert connection.execute(select(REVIEWS.c.request_id).distinct()).scalars().all() == ["ours"]
        assert connection.execute(select(func.count()).select_from(REVIEWS)).scalar_one() == 2
