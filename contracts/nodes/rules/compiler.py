"""Compiler: rules and one player's context to the fields of a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from contracts.nodes.rules.canonical import condition_text, rule_text
from contracts.nodes.rules.conditions import Judge
from contracts.nodes.rules.effects import AVOIDED, REQUIRED, Effect, alike, broken, effects
from contracts.nodes.rules.finding import Code, RuleFinding, finding
from contracts.nodes.rules.tree import Conditional, Not, Rules, Scalar, Statement


class CompiledStep(msgspec.Struct, frozen=True, kw_only=True):
    """One value that a rule set."""

    #: Line of the rule, from 1.
    line: int
    column: int
    #: The text of the rule.
    rule: str
    #: The conditions that led to it, outermost first; false ones are negated with NOT.
    when: tuple[str, ...]
    #: Path in the node, such as ``style.mood_to``; of a list, such as ``constraints.avoid_elements``, an entry.
    field: str
    value: Scalar


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of rules for one player."""

    #: Part of a node, in snake_case.  Lists have entries to add to the node's.
    overrides: dict[str, Any]
    warnings: tuple[RuleFinding, ...] = ()
    #: In the order of the rules; if a field was set twice, the last value applies.
    trace: tuple[CompiledStep, ...] = ()


def compile(rules: Rules, context: Mapping[str, Any]) -> Compiled:  # noqa: A001 - a module's verb, as in `re.compile`
    """Evaluate rules in a context.

    Never raises: a value that no node can have is omitted, with the warning that
    :func:`contracts.nodes.rules.lint` gives as an error.

    Args:
        rules: the parsed rules.
        context: the player's choices under ``player_choice`` or ``choices``, also within ``player_context``;
            other values that conditions use, by name.
    """
    run = _Run(context)
    run.follow(rules.statements, ())
    return run.compiled()


#: Combinations that are rarely intended: field, value, field, values, reason, suggestion.
_ODD: Final = (
    (
        "style.transition_type",
        "abrupt",
        "style.pacing",
        {"slow"},
        "an abrupt transition with slow pacing",
        "make it gradual, or the pacing fast",
    ),
    (
        "seed_source",
        "timestamp",
        "strategy",
        {"once", "per_playthrough", "per_player"},
        "a timestamp seed with a strategy that promises the same result again",
        "take the seed of the playthrough or player",
    ),
)


class _Run:
    """Evaluates rules in one context, and records what they set."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._judge = Judge(context)
        self._steps: list[CompiledStep] = []
        self._set: dict[str, CompiledStep] = {}
        self._lists: dict[str, dict[str, CompiledStep]] = {}
        self._told: dict[RuleFinding, None] = {}

    def follow(self, statements: tuple[Statement, ...], when: tuple[str, ...]) -> None:
        for each in statements:
            if isinstance(each, Conditional):
                self._choose(each, when)
                continue
            done, wrong = effects(each)
            self._told.update(dict.fromkeys(wrong))
            text = rule_text(each)
            for effect in done:
                self._apply(effect, text, when)

    def _choose(self, choice: Conditional, when: tuple[str, ...]) -> None:
        for branch in choice.branches:
            if branch.condition is None:
                self.follow(branch.body, when)
                return
            text = condition_text(branch.condition)
            if self._judge.holds(branch.condition):
                self.follow(branch.body, (*when, text))
                return
            when = (*when, condition_text(Not(condition=branch.condition, at=branch.at)))

    def _apply(self, effect: Effect, rule: str, when: tuple[str, ...]) -> None:
        step = CompiledStep(
            line=effect.at.line,
            column=effect.at.column,
            rule=rule,
            when=when,
            field=effect.path,
            value=effect.value,
        )
        if effect.adds:
            entries = self._lists.setdefault(effect.path, {})
            if entries.setdefault(alike(str(effect.value)), step) is not step:
                return
        else:
            earlier = self._set.get(effect.path)
            if earlier is not None:
                self._compare(earlier, step)
            self._set[effect.path] = step
        self._steps.append(step)

    def _compare(self, earlier: CompiledStep, step: CompiledStep) -> None:
        """Report a conditional value that another condition's value replaces."""
        refines = step.when[: len(earlier.when)] == earlier.when
        if earlier.value != step.value and not refines:
            self._tell(
                Code.OVERRIDDEN,
                step,
                f"{step.field} is {_shown(step.value)} here and {_shown(earlier.value)} in line {earlier.line},"
                " and both conditions are true; this one applies",
                "join the conditions in one IF … ELSE",
            )

    def compiled(self) -> Compiled:
        """The outcome, checked for contradictions."""
        self._combinations()
        overrides: dict[str, Any] = {}
        for path, step in self._set.items():
            _put(overrides, path, step.value)
        for path, entries in self._lists.items():
            _put(overrides, path, [each.value for each in entries.values()])
        warnings = (*self._told, *self._judge.told)
        return Compiled(
            overrides=overrides,
            warnings=tuple(sorted(warnings, key=lambda each: (each.line, each.column, each.code))),
            trace=tuple(self._steps),
        )

    def _combinations(self) -> None:
        avoided = self._lists.get(AVOIDED, {})
        for key, step in self._lists.get(REQUIRED, {}).items():
            if key in avoided:
                self._tell(
                    Code.COMBINATION,
                    max(step, avoided[key], key=lambda each: (each.line, each.column)),
                    f"{step.value} is both included, in line {step.line},"
                    f" and avoided, in line {avoided[key].line}",
                    "leave one of them out",
                )
        found = {path: step.value for path, step in self._set.items()}
        for path, value, other, values, what, advice in _ODD:
            if found.get(path) == value and found.get(other) in values:
                self._tell(Code.COMBINATION, self._set[path], what, advice)
        parts = [self._set.get(f"duration.{each}") for each in ("min", "max", "target")]
        wrong = broken(*(each and _seconds(each.value) for each in parts))
        if wrong:
            last = max((each for each in parts if each), key=lambda each: (each.line, each.column))
            self._tell(Code.COMBINATION, last, *wrong)

    def _tell(self, code: Code, step: CompiledStep, message: str, suggestion: str) -> None:
        self._told.setdefault(finding(code, step.line, step.column, message, suggestion))


def _seconds(value: Scalar) -> float | None:
    return None if isinstance(value, str) else value


def _shown(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _put(overrides: dict[str, Any], path: str, value: Any) -> None:
    group, dot, leaf = path.rpartition(".")
    (overrides.setdefault(group, {}) if dot else overrides)[leaf] = value
