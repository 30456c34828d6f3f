"""The gate of the demo's model counts what is live, in its slot, counted, and repeated."""

from __future__ import annotations

from infra.lab.demo_model.examples import Example
from infra.lab.demo_model.expectations import Expectation
from infra.lab.demo_model.gate import GateOutcome, measure

WISH = Example(
    kind="plot",
    topic="lighthouse",
    wish="Ines keeps a lighthouse, two beats",
    expect=(Expectation(slots=("characters",), word="Ines"), Expectation(slots=("beats",), count=2)),
)
BEAT = {"purpose": "The lamp goes out over the zloorn.", "name": "Dark", "characters": ["Ines"], "tension": 4}


def outcome(*, beats: int, status: str = "success", seconds: float = 4.0) -> GateOutcome:
    return GateOutcome(
        example=WISH,
        status=status,
        origin="live" if status == "success" else "golden_sample",
        reason=None,
        content={
            "premise": "A light.",
            "title": "Lamp",
            "structure_type": "mystery",
            "beats": [BEAT] * beats,
        },
        draft="",
        seconds=seconds,
        score=1.0,
    )


def test_what_is_not_live_has_nothing_right() -> None:
    found = measure(
        [outcome(beats=2), outcome(beats=1), outcome(beats=2, status="fail_fallback", seconds=60.0)]
    )
    assert (found.wishes, found.live) == (3, 66.7)
    assert (found.named, found.named_of) == (66.7, 3)
    assert (found.counted, found.counted_of) == (33.3, 3)
    assert (found.seconds_median, found.seconds_most) == (4.0, 60.0)


def test_words_that_do_not_exist_and_sentences_that_come_back_are_found() -> None:
    found = measure([outcome(beats=1), outcome(beats=1)])
    assert found.unknown == ("zloorn",)
    assert found.words < 100
    assert (found.repeated_text, found.repeated) == (BEAT["purpose"], 100.0)
