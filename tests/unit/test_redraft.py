"""Is a valid document without sense, or above its rating, written once more, and then given up?"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from contracts import events as ev
from contracts.content.registry import Registry
from contracts.errors import ErrorCode
from contracts.nodes.node import Rating
from contracts.outcome import Emit, Fail
from contracts.policy.explicitness import ExplicitWords, Rule
from infra.app.schema_checks import CheckedContents
from infra.stores.vocabulary import load_english
from stages.validate_repair.handle import validate
from stages.validate_repair.quality import QualityGate
from tests import lives

CONTENTS = CheckedContents(Registry())
SCHEMA = {
    "type": "object",
    "properties": {"amount": {"type": "integer"}, "currency": {"type": "string"}},
    "required": ["amount", "currency"],
}
DEBRIS = {"amount": 26, "currency": ":26}{"}
BARE = {"amount": 26, "currency": "naked crowns"}
WORDS = ExplicitWords([Rule(what="nudity", needs=Rating.MATURE_IMPLIED, words=("naked",))])


def judged(document: Any, *, bar: float = 0.4, attempt: int = 1, trail: ev.Trail | None = None) -> Any:
    draft = lives.prose("It costs 26 crowns.", provider="house")
    event = ev.Structured(
        attempt=attempt,
        brief=lives.brief(schema=SCHEMA, prompt="Write: <<<\na price of 26 crowns\n>>>\n"),
        draft=draft,
        document=msgspec.structs.replace(draft, text=json.dumps(document)),
        trail=trail or ev.Trail(),
    )
    return lives.decided(
        validate(
            lives.received(event, sequence=5, kind="custom"),
            contents=CONTENTS,
            explicitness=WORDS,
            gate=QualityGate(vocabulary=load_english(), bars={"custom": bar}),
            max_reasks=0,
            accept_filled=False,
        )
    )


def test_a_document_below_the_bar_asks_for_another_draft_with_the_next_seed() -> None:
    outcome = judged(DEBRIS)
    assert isinstance(outcome, Emit)
    (again,) = outcome.events
    assert isinstance(again, ev.ContextBuilt)
    assert (again.attempt, again.trail.redrafts) == (2, 1)
    assert again.brief.freeform.seed == lives.brief().freeform.seed + 1
    (warning,) = again.trail.warnings
    assert "below the bar of 0.4: currency: punctuation in place of text: ':26}{'" in warning


def test_a_document_above_its_rating_asks_for_another_draft_without_its_words() -> None:
    outcome = judged(BARE)
    assert isinstance(outcome, Emit)
    (again,) = outcome.events
    assert isinstance(again, ev.ContextBuilt)
    assert (again.attempt, again.trail.redrafts, again.trail.rating_redrafts) == (2, 1, 1)
    (warning,) = again.trail.warnings
    assert "currency: nudity needs the rating 'mature_implied'" in warning
    assert "naked" not in warning


@pytest.mark.parametrize(
    ("document", "code", "why"),
    [
        (DEBRIS, ErrorCode.GEN_QUALITY, "currency: punctuation in place of text"),
        (BARE, ErrorCode.GEN_RATING_VIOLATION, "currency: nudity needs the rating 'mature_implied'"),
    ],
)
def test_the_second_one_that_must_not_be_shown_is_the_end(document: Any, code: ErrorCode, why: str) -> None:
    rated = int(code is ErrorCode.GEN_RATING_VIOLATION)
    outcome = judged(document, attempt=2, trail=ev.Trail(redrafts=1, rating_redrafts=rated))
    assert isinstance(outcome, Fail)
    assert (outcome.code, outcome.letter) == (code, True)
    assert "after 2 drafts" in outcome.message
    assert why in outcome.message
    assert json.loads(outcome.evidence or "") == document


@pytest.mark.parametrize(("document", "rated"), [(DEBRIS, 1), (BARE, 0)])
def test_a_draft_for_one_cause_leaves_the_draft_for_the_other(document: Any, rated: int) -> None:
    outcome = judged(document, attempt=2, trail=ev.Trail(redrafts=1, rating_redrafts=rated))
    assert isinstance(outcome, Emit)
    (again,) = outcome.events
    assert (again.attempt, again.trail.redrafts, again.trail.rating_redrafts) == (3, 2, 1)


@pytest.mark.parametrize("document", [DEBRIS, BARE])
def test_a_stage_that_forgets_the_count_cannot_make_it_go_on_for_ever(document: Any) -> None:
    assert isinstance(judged(document, attempt=8), Fail)


@pytest.mark.parametrize(("document", "bar"), [(DEBRIS, 0.0), ({"amount": 26, "currency": "crowns"}, 0.4)])
def test_a_bar_of_zero_and_a_good_document_give_the_result(document: Any, bar: float) -> None:
    (result,) = judged(document, bar=bar).events
    assert result.content == document
    assert bool(result.meta.quality_reasons) is (document == DEBRIS)
    assert (result.meta.quality_score < 0.4) is (document == DEBRIS)


def test_a_trail_of_an_older_release_has_no_redraft() -> None:
    assert msgspec.json.decode(b'{"attempts": [], "warnings": ["w"]}', type=ev.Trail).redrafts == 0
