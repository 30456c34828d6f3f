"""Style checks: moods, pacing, duration and rating."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from contracts.nodes import required_terms
from contracts.nodes.node import Pacing, Rating, Style, TransitionType
from contracts.nodes.validation import limits
from contracts.nodes.validation.check import Check, CheckResult, Facts, Reading, Severity, example, transition

#: Words in required elements and content rules, with the rating that they need.
EXPLICIT: Final = {
    "kiss": Rating.ROMANTIC,
    "flirt": Rating.ROMANTIC,
    "romance": Rating.ROMANTIC,
    "seduction": Rating.MATURE_IMPLIED,
    "undress": Rating.MATURE_IMPLIED,
    "intimacy": Rating.MATURE_IMPLIED,
    "nudity": Rating.RESTRICTED,
    "sex": Rating.RESTRICTED,
    "explicit": Rating.RESTRICTED,
}


def _is_transition(reading: Reading) -> bool:
    return reading.node.generation_type == "transition" and not reading.below_unknown


def _moods(reading: Reading) -> Iterable[CheckResult]:
    style = reading.node.style or Style()
    for name in ("mood_from", "mood_to"):
        if _is_transition(reading) and getattr(style, name) is None and not reading.spoilt("style", name):
            yield CheckResult(
                ("style", name), "a transition without it has nowhere to go", "name the mood in a word or two"
            )


def _manner(reading: Reading) -> Iterable[CheckResult]:
    style = reading.node.style or Style()
    for name, known in (("pacing", Pacing), ("transition_type", TransitionType)):
        if _is_transition(reading) and getattr(style, name) is None and not reading.spoilt("style", name):
            yield CheckResult(("style", name), "it is left to the model", f"choose one of {', '.join(known)}")


def _abrupt(reading: Reading) -> Iterable[CheckResult]:
    style = reading.node.style or Style()
    if style.transition_type is TransitionType.ABRUPT and style.pacing is Pacing.SLOW:
        yield CheckResult(
            ("style", "transition_type"),
            "an abrupt transition at a slow pace contradicts itself",
            "make it gradual, or the pacing medium or fast",
        )


def _range(reading: Reading) -> Iterable[CheckResult]:
    duration = reading.node.duration
    if duration is None or duration.min is None or duration.max is None:
        return
    if duration.min > duration.max:
        yield CheckResult(
            ("duration", "min"),
            f"{duration.min:g} s is more than the maximum of {duration.max:g} s",
            "swap them, or lower the minimum",
        )


def _target(reading: Reading) -> Iterable[CheckResult]:
    duration = reading.node.duration
    if duration is None or duration.target is None:
        return
    low, high = duration.min, duration.max
    if (low is not None and duration.target < low) or (high is not None and duration.target > high):
        least, most = "…" if low is None else f"{low:g}", "…" if high is None else f"{high:g}"
        yield CheckResult(
            ("duration", "target"),
            f"{duration.target:g} s is outside of {least} to {most} s",
            "move the target into the range, or widen the range",
        )


def _negative(reading: Reading) -> Iterable[CheckResult]:
    for name in ("min", "max", "target"):
        value = getattr(reading.node.duration, name, None)
        if value is not None and value < 0:
            yield CheckResult(("duration", name), f"{value:g} s is negative", "write seconds from 0 on")


def _longest(reading: Reading) -> tuple[str, float] | None:
    """The longest duration of the node, and its path."""
    for name in ("target", "max", "min"):
        value = getattr(reading.node.duration, name, None)
        if value is not None and value >= 0:
            return name, value
    return None


def _short(reading: Reading) -> Iterable[CheckResult]:
    found = _longest(reading)
    if found is not None and found[1] < limits.SHORTEST_S:
        yield CheckResult(
            ("duration", found[0]), f"{found[1]:g} s is very short", f"{limits.SHORTEST_S} s can be followed"
        )


def _long(reading: Reading) -> Iterable[CheckResult]:
    duration = reading.node.duration
    for name in ("min", "max", "target"):
        value = getattr(duration, name, None)
        if value is not None and value > limits.LONGEST_S:
            yield CheckResult(
                ("duration", name),
                f"{value:g} s is very long",
                f"split it, or stay below {limits.LONGEST_S} s",
            )
            return


def _no_target(reading: Reading) -> Iterable[CheckResult]:
    duration = reading.node.duration
    if reading.spoilt("duration", "target") or (duration is None and not _is_transition(reading)):
        return
    if duration is None or duration.target is None:
        bounds = (duration.min, duration.max) if duration else (None, None)
        middle = "" if None in bounds else f", for instance {sum(filter(None, bounds)) / 2:g}"
        yield CheckResult(("duration", "target"), "no target is named", f"name the seconds you want{middle}")


@lru_cache(maxsize=1024)
def _needed(element: str) -> Rating:
    """The rating that the words of an element usually need."""
    asked = [least for word in required_terms.normalise_term(element).split() if (least := _least(word))]
    return max(asked, key=lambda rating: rating.rank, default=Rating.SFW)


def _explicit(reading: Reading) -> Iterable[CheckResult]:
    constraints, most = reading.node.constraints, reading.facts.max_rating
    if constraints is None or constraints.rating is None:
        return
    held = min(constraints.rating, most or constraints.rating, key=lambda rating: rating.rank)
    for field in ("required_elements", "content_rules"):
        for index, said in enumerate(getattr(constraints, field)):
            least = _needed(said)
            if least.rank > held.rank:
                whose = "the node allows" if held is constraints.rating else "world and user allow"
                yield CheckResult(
                    ("constraints", field, index),
                    f"{said!r} usually needs the rating {str(least)!r}, and {str(held)!r} is what {whose}",
                    "raise the rating, or ask for something milder",
                )


def _least(word: str) -> Rating | None:
    return EXPLICIT.get(word) or EXPLICIT.get(word.removesuffix("s"))


def _clamped(reading: Reading) -> Iterable[CheckResult]:
    constraints, most = reading.node.constraints, reading.facts.max_rating
    if constraints is None or constraints.rating is None or most is None:
        return
    if constraints.rating.rank > most.rank:
        yield CheckResult(
            ("constraints", "rating"),
            f"{str(constraints.rating)!r} is above {str(most)!r}, the highest that world and user allow",
            f"it will be lowered to {str(most)!r}; say so in the node",
        )


CHECKS: Final = (
    Check(
        code="STY001",
        severity=Severity.WARNING,
        title="mood of a transition missing",
        why="A transition leads from one mood to another; without both it is a scene.",
        find=_moods,
        failing=transition(style={"moodFrom": "calm", "pacing": "medium", "transitionType": "gradual"}),
        passing=transition(),
    ),
    Check(
        code="STY002",
        severity=Severity.WARNING,
        title="abrupt and slow",
        why="The two contradict each other, and the model follows only one of them.",
        find=_abrupt,
        failing=transition(
            style={"moodFrom": "calm", "moodTo": "tense", "pacing": "slow", "transitionType": "abrupt"}
        ),
        passing=transition(
            style={"moodFrom": "calm", "moodTo": "tense", "pacing": "fast", "transitionType": "abrupt"}
        ),
    ),
    Check(
        code="STY003",
        severity=Severity.SUGGESTION,
        title="style of a transition",
        why="Without a target, each generation picks its own length.",
        find=_manner,
        failing=transition(style={"moodFrom": "calm", "moodTo": "tense"}),
        passing=transition(),
    ),
    Check(
        code="DUR001",
        severity=Severity.ERROR,
        title="minimum above maximum",
        why="No duration lies in the range.",
        find=_range,
        failing=transition(duration={"min": 40, "max": 20}),
        passing=transition(duration={"min": 20, "max": 40, "target": 30}),
    ),
    Check(
        code="DUR002",
        severity=Severity.ERROR,
        title="target outside of the range",
        why="`min <= target <= max` must hold.",
        find=_target,
        failing=transition(duration={"min": 20, "max": 40, "target": 50}),
        passing=transition(duration={"min": 20, "max": 40, "target": 40}),
    ),
    Check(
        code="DUR003",
        severity=Severity.ERROR,
        title="negative duration",
        why="Seconds count from 0 on.",
        find=_negative,
        failing=transition(duration={"min": -5, "max": 40, "target": 20}),
        passing=transition(duration={"min": 0, "max": 40, "target": 20}),
    ),
    Check(
        code="DUR004",
        severity=Severity.WARNING,
        title="very short",
        why=f"Less than {limits.SHORTEST_S} s is over before it is understood.",
        find=_short,
        failing=transition(duration={"min": 0, "max": 2, "target": 1}),
        passing=transition(duration={"min": 0, "max": 10, "target": 3}),
    ),
    Check(
        code="DUR005",
        severity=Severity.WARNING,
        title="very long",
        why=f"More than {limits.LONGEST_S} s is a scene of its own, and more text than one call writes well.",
        find=_long,
        failing=transition(duration={"min": 590, "max": 610, "target": 600}),
        passing=transition(duration={"min": 280, "max": 300, "target": 300}),
    ),
    Check(
        code="DUR006",
        severity=Severity.SUGGESTION,
        title="a target duration",
        why="A range alone leaves the length to chance.",
        find=_no_target,
        failing=transition(duration={"min": 10, "max": 30}),
        passing=transition(duration={"min": 10, "max": 30, "target": 20}),
    ),
    Check(
        code="RAT001",
        severity=Severity.WARNING,
        title="rating below what the content needs",
        why="What a required element or a rule asks for is refused later, by the check of the content against "
        f"its rating. Looked for are {', '.join(f'{word} ({least})' for word, least in EXPLICIT.items())}.",
        find=_explicit,
        failing=example(constraints={"rating": "G", "requiredElements": ["kiss_callback"]}),
        passing=example(constraints={"rating": "PG-13", "requiredElements": ["kiss_callback"]}),
    ),
    Check(
        code="RAT002",
        severity=Severity.WARNING,
        title="rating above the limit of world or user",
        why="The rating is lowered, and the content differs from the node's description.",
        find=_clamped,
        needs="max_rating",
        failing=example(constraints={"rating": "R"}, facts=Facts(max_rating=Rating.ROMANTIC)),
        passing=example(constraints={"rating": "PG-13"}, facts=Facts(max_rating=Rating.ROMANTIC)),
    ),
)
