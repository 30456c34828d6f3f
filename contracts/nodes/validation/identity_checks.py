"""Identity checks: kind, purpose, strategy, seed source and template."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from contracts.kinds import KINDS
from contracts.nodes.layers import OF_KIND, TEMPLATE
from contracts.nodes.node import PURPOSES, SeedSource, Strategy
from contracts.nodes.validation.check import Check, CheckResult, Facts, Reading, Severity, example, transition

#: Purposes that nodes of a kind usually have; the others may have any.
USUAL: Final = {
    "layout": ("original", "variation", "adaptive"),
    "plot": ("original", "variation", "adaptive"),
    "scene": ("original", "variation", "adaptive", "gap_fill", "ambient"),
    "dialogue": ("original", "variation", "adaptive", "ambient"),
    "transition": ("gap_fill", "variation", "adaptive"),
}
_FIRST: Final = "romantic_to_action_transition_v1"
#: The seed source that fits a strategy.
FITTING: Final = {
    Strategy.ONCE: SeedSource.FIXED,
    Strategy.PER_PLAYTHROUGH: SeedSource.PLAYTHROUGH,
    Strategy.PER_PLAYER: SeedSource.PLAYER,
    Strategy.ALWAYS: SeedSource.TIMESTAMP,
}


def _no_type(reading: Reading) -> Iterable[CheckResult]:
    name = "generation_type"
    if reading.node.generation_type is None and not reading.spoilt(name) and not reading.below_unknown:
        yield CheckResult((name,), "the generation type is missing", f"use one of {', '.join(KINDS)}")


def _no_purpose(reading: Reading) -> Iterable[CheckResult]:
    usual = OF_KIND.get(reading.node.generation_type or "", {})
    kept = reading.node.strategy is not Strategy.ALWAYS
    if reading.assumed("purpose") and kept and "purpose" not in usual:
        yield CheckResult(
            ("purpose",),
            f"no purpose is named, so {reading.node.purpose!r} is assumed",
            f"name one of {', '.join(PURPOSES)}",
        )


def _no_strategy(reading: Reading) -> Iterable[CheckResult]:
    if reading.assumed("strategy") and reading.node.seed_source is not SeedSource.TIMESTAMP:
        yield CheckResult(
            ("strategy",),
            f"no strategy is named, so {str(reading.node.strategy)!r} is assumed: nothing is kept or shared",
            f"name one of {', '.join(Strategy)}",
        )


def _kind(reading: Reading) -> Iterable[CheckResult]:
    kind, said = reading.facts.kind, reading.node.generation_type
    if said is not None and said != kind:
        yield CheckResult(
            ("generation_type",),
            f"{said!r} is not {kind!r}, the kind that the request's subject names",
            "send the request to the node's kind, or leave the type out",
        )


def _unusual(reading: Reading) -> Iterable[CheckResult]:
    kind, purpose = reading.node.generation_type, reading.node.purpose
    usual = USUAL.get(kind) if kind else None
    if purpose is None or (usual is None and kind is not None) or purpose in (usual or PURPOSES):
        return
    if purpose in PURPOSES:
        message = f"{purpose!r} is unusual for {kind!r}"
    else:
        close = get_close_matches(purpose.lower(), PURPOSES, n=1)
        message = f"{purpose!r} is a purpose of its own"
        if close:
            message += f"; did you mean {close[0]!r}?"
    known = f"usual for {kind!r} are {', '.join(usual)}" if usual else f"known are {', '.join(PURPOSES)}"
    yield CheckResult(("purpose",), message, known)


def _fresh_seed(reading: Reading) -> Iterable[CheckResult]:
    strategy = reading.node.strategy
    fresh = reading.node.seed_source is SeedSource.TIMESTAMP
    if fresh and strategy is not None and strategy is not Strategy.ALWAYS:
        yield CheckResult(
            ("seed_source",),
            f"'timestamp' gives another seed each time, and {str(strategy)!r} promises the same content",
            f"use {str(FITTING[strategy])!r}, or strategy 'always'",
        )


def _fitting_seed(reading: Reading) -> Iterable[CheckResult]:
    strategy, source = reading.node.strategy, reading.node.seed_source
    if strategy is None or reading.spoilt("seed_source") or reading.set_by.get("strategy") == "defaults":
        return
    fitting = FITTING[strategy]
    if source is None:
        yield CheckResult(
            ("seed_source",), "no seed source is named", f"{str(fitting)!r} fits {str(strategy)!r}"
        )
    elif source not in (fitting, SeedSource.FIXED, SeedSource.TIMESTAMP):
        yield CheckResult(
            ("seed_source",),
            f"{str(source)!r} is not what {str(strategy)!r} is shared by",
            f"{str(fitting)!r} fits it",
        )


def _disabled(reading: Reading) -> Iterable[CheckResult]:
    if not reading.node.enabled:
        yield CheckResult(("enabled",), "the node is disabled", "enable it when it should be used")


def _below(reading: Reading) -> Iterable[CheckResult]:
    known = reading.facts.templates
    if reading.below_unknown and (known is None or reading.node.template_id in known):
        yield CheckResult(
            ("template_id",),
            f"what the template {reading.node.template_id!r} says is not known here",
            "fields that it may set were not checked; check both together",
        )


def _unknown_template(reading: Reading) -> Iterable[CheckResult]:
    named, known = reading.node.template_id, reading.facts.templates or ()
    # If a template is checked alone, its own name belongs to the template layer.
    if named is not None and named not in known and reading.set_by.get("template_id") != TEMPLATE:
        close = get_close_matches(named, known, n=1, cutoff=0.5)
        yield CheckResult(
            ("template_id",),
            f"there is no template {named!r}",
            f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known) or 'none'}",
        )


def _social(reading: Reading) -> Iterable[CheckResult]:
    if reading.node.generation_type == "dialogue" and not reading.facts.social:
        yield CheckResult(
            ("generation_type",),
            "a dialogue without social context has no relationship between its speakers",
            "give the request `social` with their relationship",
        )


CHECKS: Final = (
    Check(
        code="TYP001",
        severity=Severity.ERROR,
        title="type missing",
        why="Without a type the pipeline cannot know which document to generate.",
        find=_no_type,
        failing=example("generationType"),
        passing=example(generationType="scene"),
    ),
    Check(
        code="TYP002",
        severity=Severity.ERROR,
        title="another type than the request",
        why="The kind is part of the request's subject, and all stages use that one.",
        find=_kind,
        needs="kind",
        failing=example(facts=Facts(kind="scene")),
        passing=example(facts=Facts(kind="dialogue")),
    ),
    Check(
        code="PUR001",
        severity=Severity.WARNING,
        title="purpose missing",
        why="The purpose is part of the cache key. Without one it is `original`, for transitions `gap_fill`.",
        find=_no_purpose,
        failing=example("purpose"),
        passing=transition("purpose"),
    ),
    Check(
        code="PUR002",
        severity=Severity.WARNING,
        title="unusual pair of type and purpose",
        why="It may be intended. More often one of the two was copied from another node, or misspelt.",
        find=_unusual,
        failing=example(purpose="gap_fill"),
        passing=example(purpose="ambient"),
    ),
    Check(
        code="STR001",
        severity=Severity.WARNING,
        title="strategy missing",
        why="The strategy decides how often content is generated, and so its cost. The default is `always`, the most expensive.",
        find=_no_strategy,
        failing=example("strategy"),
        passing=example(strategy="once", seedSource="fixed"),
    ),
    Check(
        code="SED001",
        severity=Severity.WARNING,
        title="fresh seed with a strategy that repeats",
        why="A timestamp gives a new seed each time: an entry that is lost from the cache is regenerated differently.",
        find=_fresh_seed,
        failing=example(seedSource="timestamp"),
        passing=example(strategy="always", seedSource="timestamp"),
    ),
    Check(
        code="SED002",
        severity=Severity.SUGGESTION,
        title="a seed source that fits the strategy",
        why="Seeds and strategy should name the same owner: the playthrough, the player, or nobody.",
        find=_fitting_seed,
        failing=example("seedSource"),
        passing=example(),
    ),
    Check(
        code="ENA001",
        severity=Severity.WARNING,
        title="disabled",
        why="A disabled node in a live game is easily forgotten.",
        find=_disabled,
        failing=example(enabled=False),
        passing=example(enabled=True),
    ),
    Check(
        code="TPL001",
        severity=Severity.WARNING,
        title="template not known here",
        why="The template may set fields that the node leaves out.",
        find=_below,
        failing=example("strategy", templateId="romantic_to_action_transition_v1"),
        passing=example(),
    ),
    Check(
        code="TPL002",
        severity=Severity.ERROR,
        title="no such template",
        why="The template's fields are missing. `understudy templates ls` lists all templates.",
        find=_unknown_template,
        needs="templates",
        failing=example(templateId="romantic_to_acton", facts=Facts(templates=(_FIRST,))),
        passing=example(facts=Facts(templates=(_FIRST,))),
    ),
    Check(
        code="CTX001",
        severity=Severity.SUGGESTION,
        title="social context for a dialogue",
        why="The relationship of the speakers shapes every line.",
        find=_social,
        failing=example(),
        passing=example(facts=Facts(social=True)),
    ),
)
