"""Does any text make the language raise anything but its own error?"""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.nodes import rules as language
from contracts.nodes.rules import limits
from tests.unit.rules.written import RULES, mutated

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "b.c", "player_choice", "choices"]), inner, max_size=3)
    ),
    max_leaves=8,
)
_CONTEXTS = st.dictionaries(
    st.sampled_from(["a", "b", "c", "player_choice", "playerContext", "choices", "social"]), _VALUES
)


def _use(rules: language.Rules, context: dict[str, Any]) -> None:
    findings = language.lint(rules)
    assert len(findings) <= limits.FINDINGS
    compiled = language.compile(rules, context)
    assert language.compile(rules, context) == compiled
    assert set(compiled.overrides) <= {
        "purpose", "strategy", "seed_source", "enabled", "style", "duration", "constraints", "fallback",
    }  # fmt: skip
    assert msgspec.json.encode((findings, compiled))


@given(st.text(max_size=200) | mutated(), _CONTEXTS)
@example("IF a == 1", {})
@example("\ud800", {})
@example("ELSE", {})
@example("\n \t#", {})
@example("x = '\x00'", {})
def test_any_text_is_rules_or_an_error_with_its_place(text: str, context: dict[str, Any]) -> None:
    try:
        rules = language.parse(text)
    except language.RulesError as error:
        found = error.found
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        assert 1 <= found.line <= len(lines)
        assert 1 <= found.column <= len(lines[found.line - 1]) + 1
        assert found.message
        return
    assert language.parse(language.format(rules)) == rules
    _use(rules, context)


@given(RULES, _CONTEXTS)
def test_any_rules_can_be_checked_and_compiled(rules: language.Rules, context: dict[str, Any]) -> None:
    _use(rules, context)


def test_a_context_may_be_deep() -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    rules = language.parse("IF a == b OR a IN b OR [1] == a\n  THEN PACING fast")
    assert language.compile(rules, {"a": deep, "b": [deep]}).overrides == {}


def test_many_findings_are_cut_and_errors_stay() -> None:
    lines = [f"IF a{n} THEN AVOID x" if n % 2 else f"IF a{n} THEN INCLUDE x" for n in range(120)]
    found = language.lint(language.parse("\n".join([*lines, "pacing = fats"])))
    assert len(found) <= limits.FINDINGS
    assert found[-1].code == language.Code.UNKNOWN_VALUE
