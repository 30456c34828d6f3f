"""Handler of validate-repair: cache write, drift check and lineage, over fakes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from contracts import events as ev
from contracts.content.registry import Registry
from contracts.lineage import Lineage
from contracts.outcome import Emit, Fail
from contracts.policy.cache_key import CacheKey
from contracts.policy.explicitness import ExplicitWords
from contracts.result import Drift, Status
from contracts.revisions import UNCONFIRMED
from contracts.usage import Attempt
from infra.app.schema_checks import CheckedContents
from stages.validate_repair.handle import handle
from stages.validate_repair.quality import QualityGate
from tests import lives
from tests.fakes import FakeCache, FakeLedger, FakeReplays

KEY = CacheKey(key="layout.k", ttl_s=60, node="n1")
DOCUMENT = {"scene_name": "Forest", "entities": [{"id": "p", "type": "player", "x": 1, "y": 2}]}
OTHER = {**DOCUMENT, "scene_name": "Cave"}


class Handled:
    """The handler over fakes."""

    def __init__(self, **replays: str) -> None:
        self.cache: FakeCache | None = FakeCache()
        self.ledger = FakeLedger()
        self.replays = FakeReplays(**replays)

    def __call__(
        self,
        document: Any,
        request_id: str = "r-1",
        *,
        form: str = "f",
        attempt: int = 1,
        cached: bool = False,
        provider: str = "scripted",
        **known: Any,
    ) -> Any:
        draft = msgspec.structs.replace(lives.prose(provider=provider), deterministic=True)
        event = ev.Structured(
            attempt=attempt,
            brief=lives.brief(**{"slot": KEY, **known}),
            draft=draft,
            document=msgspec.structs.replace(draft, text=json.dumps(document), cached=cached),
            trail=ev.Trail(attempts=(Attempt(provider="scripted", model="script"),)),
        )
        return lives.decided(
            handle(
                lives.received(event, request_id, sequence=5),
                contents=CheckedContents(Registry()),
                explicitness=ExplicitWords(()),
                gate=QualityGate(),
                max_reasks=0,
                accept_filled=False,
                forms={"layout": form},
                ledger=self.ledger,
                cache=self.cache,
                replays=self.replays,
            )
        )

    @property
    def entries(self) -> dict[str, Any]:
        assert self.cache is not None
        return self.cache.entries


@pytest.fixture
def handled() -> Handled:
    return Handled()


@pytest.mark.parametrize("request_id", ["r-1", "rp-1"], ids=["request", "replay"])
def test_what_a_model_wrote_is_stored_under_its_key(handled: Handled, request_id: str) -> None:
    (result,) = handled(DOCUMENT, request_id).events
    (entry,) = handled.entries.values()
    assert set(handled.entries) == {KEY.key}
    assert (entry.request_id, entry.node, entry.content) == (request_id, "n1", DOCUMENT)
    assert entry.content_hash == result.content_hash


def test_a_response_from_the_providers_cache_is_stored_too(handled: Handled) -> None:
    (result,) = handled(DOCUMENT, cached=True, provider="house").events
    assert result.status is Status.CACHED
    assert set(handled.entries) == {KEY.key}


@pytest.mark.parametrize(
    ("document", "known"),
    [
        (DOCUMENT, {"slot": KEY, "lineage": Lineage(replay_of="r-1", shadow=True)}),
        (DOCUMENT, {"slot": None}),
        ({"scene_name": 5}, {"slot": KEY}),
    ],
    ids=["shadow", "no key", "invalid"],
)
def test_everything_else_is_not_stored(handled: Handled, document: Any, known: dict[str, Any]) -> None:
    handled(document, **known)
    assert handled.entries == {}


def test_with_the_cache_disabled_the_result_is_the_same(handled: Handled) -> None:
    stored = handled(DOCUMENT)
    handled.cache = None
    assert handled(DOCUMENT) == stored


def test_a_plot_that_requests_its_scenes_is_not_stored(handled: Handled) -> None:
    (plotted,) = handled(DOCUMENT, scenes={}).events
    assert isinstance(plotted, ev.Plotted)
    assert handled.entries == {}


def test_the_first_output_of_a_seed_is_stored_and_an_equal_one_agrees(handled: Handled) -> None:
    (first,), (equal,) = handled(DOCUMENT).events, handled(DOCUMENT, "r-2").events
    assert [one.meta.deterministic for one in (first, equal)] == [True, True]
    assert equal.meta.drift is None
    (stored,) = handled.ledger.stored.values()
    assert stored.request_id == "r-1"


def test_another_output_of_the_same_seed_is_marked_in_result_and_entry(handled: Handled) -> None:
    (first,), (other,) = handled(DOCUMENT).events, handled(OTHER, "r-2").events
    assert not other.meta.deterministic
    assert other.meta.drift == Drift(first_hash=first.content_hash, first_request="r-1")
    (entry,) = handled.entries.values()
    assert (entry.request_id, entry.deterministic) == ("r-2", False)


@pytest.mark.parametrize(
    "changes",
    [{"form": "g"}, {"attempt": 2}, {"cached": True}, {"prompt_hash": "0" * 64}],
    ids=["form", "attempt", "cached", "prompt"],
)
def test_outputs_that_need_not_be_equal_are_not_compared(handled: Handled, changes: dict[str, Any]) -> None:
    handled(DOCUMENT)
    (other,) = handled(OTHER, "r-2", **changes).events
    assert other.meta.drift is None


def test_an_invalid_document_reaches_neither_ledger_nor_cache(handled: Handled) -> None:
    assert isinstance(handled({"scene_name": 5}), Fail)
    assert (handled.ledger.stored, handled.entries) == ({}, {})


def test_a_known_replay_revises_with_its_drift_and_an_unknown_one_does_not() -> None:
    handled = Handled(**{"rp-1": "r-0"})
    handled(DOCUMENT, "r-0")
    known, unknown = (handled(OTHER, each, replay_of="r-0") for each in ("rp-1", "rp-2"))
    assert isinstance(known, Emit)
    result, revised = known.events
    assert isinstance(revised, ev.Revised)
    assert isinstance(result, ev.Result)
    assert (revised.request_id, revised.revised_by) == ("r-0", "rp-1")
    assert result.meta.drift == revised.meta.drift is not None
    (alone,) = unknown.events
    assert alone.meta.warnings[-1] == UNCONFIRMED
