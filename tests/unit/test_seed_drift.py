"""Which generations have to come to the same, and what becomes of one that does not?"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts import events as ev
from contracts.content.registry import Registry
from contracts.errors import ErrorCode
from contracts.helper_tasks import EnhancementInfo
from contracts.outcome import Emit
from contracts.policy.explicitness import ExplicitWords
from contracts.ports import SeedOutput
from contracts.usage import Attempt
from infra.app.schema_checks import CheckedContents
from stages.validate_repair import seed_drift
from stages.validate_repair.handle import validate
from stages.validate_repair.seed_drift import Claim
from tests import lives

DOCUMENT = '{"mood_from": "calm", "mood_to": "tense", "text": "The phone rings.", "duration": 20}'
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
PARAMS = lives.brief().freeform


def draft(text: str, **changes: Any) -> ev.Draft:
    return msgspec.structs.replace(lives.prose(text), **{"deterministic": True, **changes})


def structured(**changes: Any) -> ev.Structured:
    return ev.Structured(
        **{
            "attempt": 1,
            "brief": lives.brief(schema=SCHEMA),
            "draft": draft("The phone rings."),
            "document": draft(DOCUMENT),
            "trail": ev.Trail(attempts=(Attempt(provider="scripted", model="script"),)),
            **changes,
        }
    )


def claimed(request_id: str = "r-1", *, form: str = "f", **changes: Any) -> Claim | None:
    received = lives.received(structured(**changes), request_id, sequence=1, kind="custom")
    outcome = lives.decided(
        validate(
            received,
            contents=CheckedContents(Registry()),
            explicitness=ExplicitWords(()),
            max_reasks=2,
            accept_filled=True,
        )
    )
    return seed_drift.claim(received, outcome, form=form)


def key(**changes: Any) -> str:
    found = claimed(**changes)
    assert found is not None
    return found.key


def brief(**changes: Any) -> dict[str, Any]:
    return {"brief": lives.brief(**{"schema": SCHEMA, **changes})}


def params(**changes: Any) -> ev.Params:
    return msgspec.structs.replace(PARAMS, **changes)


def test_whoever_asks_and_when_has_to_get_the_same() -> None:
    later = lives.brief(lives.START_MS + 7, schema=SCHEMA, tags=("a",), workspace="w", input_hash="0" * 64)
    patient = msgspec.structs.replace(later, freeform=params(timeout_s=99))
    one, other = claimed(), claimed("r-2", brief=patient)
    assert one is not None
    assert other is not None
    assert one.key == other.key
    assert one.key.startswith("custom.")
    assert (other.output.content_hash, other.output.request_id) == (one.output.content_hash, "r-2")


@pytest.mark.parametrize(
    "changes",
    [
        brief(prompt_hash="0" * 64),
        brief(schema={"type": "object"}),
        brief(settled={"pacing": {"const": "fast"}}),
        brief(freeform=params(seed=8)),
        brief(freeform=params(temperature=0.1)),
        brief(structuring=params(seed=8)),
        {"draft": draft("The phone rings.", model="other")},
        {"draft": draft("The phone rings.", engine="torch 3")},
        {"document": draft(DOCUMENT, provider="other")},
        {"document": draft(DOCUMENT, engine="torch 3")},
        {"form": "other"},
    ],
    ids=str,
)
def test_another_seed_model_or_engine_may_come_to_something_else(changes: dict[str, Any]) -> None:
    assert key(**changes) != key()


def test_what_was_drafted_does_not_tell_generations_apart() -> None:
    assert key(draft=draft("Nobody calls.")) == key()


@pytest.mark.parametrize(
    "changes",
    [
        {"draft": draft("The phone rings.", deterministic=False)},
        {"document": draft(DOCUMENT, deterministic=False)},
        {"draft": draft("The phone rings.", cached=True)},
        {"document": draft(DOCUMENT, cached=True)},
        {"document": draft(DOCUMENT.replace("}", ""))},
        {"document": draft("{}")},
        {"reask": 1},
        {"attempt": 2},
        {"trail": ev.Trail(attempts=(Attempt(provider="p", model="m", code=ErrorCode.GEN_CONSTRAINT_FAIL),))},
        brief(freeform=params(fresh=True)),
    ],
    ids=str,
)
def test_what_claims_nothing_or_had_help_is_not_compared(changes: dict[str, Any]) -> None:
    assert claimed() is not None
    assert claimed(**changes) is None


def test_a_claim_is_taken_back_in_the_result_and_in_the_revision() -> None:
    known = brief(replay_of="r-0")
    received = lives.received(structured(**known), "rp-1-1", sequence=1, kind="custom")
    outcome = lives.decided(
        validate(
            received,
            contents=CheckedContents(Registry()),
            explicitness=ExplicitWords(()),
            max_reasks=2,
            accept_filled=True,
        )
    )
    marked = seed_drift.mark(outcome, SeedOutput(content_hash="e" * 64, request_id="r-0"))
    assert isinstance(marked, Emit)
    assert [event.name for event in marked.events] == ["result", "revised"]
    for event in marked.events:
        assert isinstance(event, ev.Result | ev.Revised)
        assert not event.meta.deterministic
        assert event.meta.drift is not None
        assert (event.meta.drift.first_hash, event.meta.drift.first_request) == ("e" * 64, "r-0")


def test_what_was_rewritten_is_compared_with_what_was_rewritten_alike() -> None:
    def told(**changes: Any) -> ev.Trail:
        info = EnhancementInfo(state="rewritten", provider="p", model="m", deterministic=True)
        return ev.Trail(enhancement=msgspec.structs.replace(info, **changes))

    keys = [key(), key(trail=told()), key(trail=told(model="n")), key(trail=told(instructions_hash="i"))]
    assert len(set(keys)) == len(keys)
    assert key(trail=told(state="kept")) == key()
    assert claimed(trail=told(deterministic=False)) is None
    assert claimed(trail=told(cached=True)) is None
