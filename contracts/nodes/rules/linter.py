"""Linter: problems of rules that do not depend on the player."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contracts.nodes.rules import limits
from contracts.nodes.rules.canonical import condition_text
from contracts.nodes.rules.conditions import CHOICES
from contracts.nodes.rules.constants import asked, compares, constant, possible
from contracts.nodes.rules.effects import AVOIDED, REQUIRED, Effect, alike, effects
from contracts.nodes.rules.fields import snake
from contracts.nodes.rules.finding import Code, RuleFinding, finding
from contracts.nodes.rules.mistake import did_you_mean
from contracts.nodes.rules.tree import At, Condition, Conditional, Name, Rules, Statement

#: Names that conditions can use in any request.
ROOTS: Final = (
    *CHOICES,
    "player_context",
    "player_id",
    "playthrough_id",
    "social",
    "world",
    "workspace",
    "tags",
    "scene_from",
    "scene_to",
)

#: Which branches lead to a rule: the number of the choice, and which of its branches.
_Way = tuple[tuple[int, int], ...]


def lint(rules: Rules) -> tuple[RuleFinding, ...]:
    """Find the problems of rules, in the order of the text; at most 100 findings.

    Rules with errors must be rejected.
    """
    linter = _Linter()
    linter.block(rules.statements, ())
    linter.contradictions()
    found = sorted(linter.found, key=lambda each: (each.line, each.column, each.code))
    errors_first = sorted(found, key=lambda each: each.code[3])[: limits.FINDINGS]
    return tuple(each for each in found if each in errors_first)


class _Linter:
    def __init__(self) -> None:
        self.found: dict[RuleFinding, None] = {}
        self._choices = 0
        #: By list and element, then by the way to it: where it was first named.
        self._elements: dict[tuple[str, str], dict[_Way, Effect]] = {}

    def block(self, statements: tuple[Statement, ...], way: _Way) -> None:
        """Check the rules of one block."""
        values: dict[str, Effect] = {}
        for each in statements:
            if isinstance(each, Conditional):
                self._choice(each, way)
                # Setting a field again after a branch may be intended.
                values.clear()
                continue
            done, wrong = effects(each)
            self.found.update(dict.fromkeys(wrong))
            for effect in done:
                if effect.adds:
                    self._element(effect, way)
                else:
                    self._value(effect, values)

    def contradictions(self) -> None:
        """Find elements that are both included and avoided."""
        for (path, key), included in self._elements.items():
            if path == REQUIRED:
                avoided = self._elements.get((AVOIDED, key), {})
                for way, effect in included.items():
                    self._contradiction(way, effect, avoided)

    def _contradiction(self, way: _Way, effect: Effect, avoided: dict[_Way, Effect]) -> None:
        """Report one rule that avoids what another includes, preferably a certain contradiction."""
        together = [each for each in avoided if not _exclusive(way, each)]
        certain = [each for each in together if _prefix(way, each) or _prefix(each, way)]
        if not together:
            return
        other = avoided[(certain or together)[0]]
        earlier, later = sorted((effect, other), key=lambda each: (each.at.line, each.at.column))
        words = {REQUIRED: "included", AVOIDED: "avoided"}
        said = (
            f"{later.value} is {words[later.path]} here and {words[earlier.path]} in line {earlier.at.line}"
        )
        if certain:
            self._tell(Code.CONTRADICTION, later.at, said, "leave one of them out")
        else:
            self._tell(
                Code.POSSIBLE_CONTRADICTION,
                later.at,
                f"{said}, and both conditions can be true",
                "put them into two branches of one IF",
            )

    def _element(self, effect: Effect, way: _Way) -> None:
        named = self._elements.setdefault((effect.path, alike(str(effect.value))), {})
        earlier = next((each for known, each in named.items() if _prefix(known, way)), None)
        if earlier is None:
            named[way] = effect
            return
        self._tell(
            Code.DUPLICATE,
            effect.at,
            f"{effect.value} is already in line {earlier.at.line}",
            "leave it out here",
        )

    def _value(self, effect: Effect, values: dict[str, Effect]) -> None:
        earlier = values.get(effect.path)
        values[effect.path] = effect
        if earlier is not None:
            self._tell(
                Code.DUPLICATE,
                effect.at,
                f"{effect.path} is set in line {earlier.at.line} already; this one counts",
                "leave one of them out",
            )

    def _choice(self, choice: Conditional, way: _Way) -> None:
        self._choices += 1
        number = self._choices
        seen: dict[str, int] = {}
        over: str = ""
        for index, branch in enumerate(choice.branches):
            condition = branch.condition
            if over:
                self._unreachable(branch.at, over)
            elif condition is not None:
                over = self._condition(condition, branch.at, seen)
            elif len(branch.body) == 1 and isinstance(branch.body[0], Conditional):
                self._tell(Code.ELSE_IF, branch.at, "this ELSE has nothing but an IF in it", "write ELSE IF")
            self.block(branch.body, (*way, (number, index)))

    def _condition(self, condition: Condition, at: At, seen: dict[str, int]) -> str:
        """Check a branch's condition; the reason why no later branch is ever taken, if there is one."""
        for each in _findings(condition):
            self.found.setdefault(each)
        text = condition_text(condition)
        always = constant(condition)
        if always is False:
            self._unreachable(at, f"{text} never holds")
        elif text in seen:
            self._unreachable(at, f"line {seen[text]} asks the same")
        seen.setdefault(text, at.line)
        return f"{text} in line {at.line} always holds" if always else ""

    def _unreachable(self, at: At, why: str) -> None:
        self._tell(Code.UNREACHABLE, at, f"this branch is never taken: {why}", "leave it out")

    def _tell(self, code: Code, at: At, message: str, suggestion: str) -> None:
        self.found.setdefault(finding(code, at.line, at.column, message, suggestion))


def _findings(condition: Condition) -> Iterator[RuleFinding]:
    for each in compares(condition):
        if not possible(each):
            yield finding(
                Code.NEVER_TRUE,
                each.at.line,
                each.at.column,
                f"{condition_text(each)} is never true",
                "compare with a number or a text; after IN write a list that is not empty",
            )
    for each in asked(condition):
        advice = _root(each)
        if advice:
            yield finding(
                Code.UNKNOWN_NAME,
                each.at.line,
                each.at.column,
                f"no request brings {each.path.partition('.')[0]}",
                advice,
            )


def _root(name: Name) -> str:
    """A suggestion for the first part of a name, if it resembles a known one."""
    root, dot, _ = name.path.partition(".")
    return "" if not dot or snake(root) in ROOTS else did_you_mean(root, ROOTS)


def _prefix(way: _Way, other: _Way) -> bool:
    """Whether ``way`` is a prefix of ``other``."""
    return other[: len(way)] == way


def _exclusive(way: _Way, other: _Way) -> bool:
    """Whether two paths take different branches of one choice and so exclude each other."""
    for left, right in zip(way, other, strict=False):
        if left != right:
            return left[0] == right[0]
    return False
