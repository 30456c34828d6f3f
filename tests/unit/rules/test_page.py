"""Does docs/rules.md say what the language does?"""

from __future__ import annotations

import json
import re

import pytest

from contracts.nodes import rules as language
from contracts.nodes.rules import fields
from contracts.nodes.rules.finding import Code
from tests.docs.pages import ROOT

_PAGE = (ROOT / "docs/rules.md").read_text(encoding="utf-8")
_ROWS = re.findall(r"^\| `(RUL\d{3})` \|[^|]*\| `(.*)` \|$", _PAGE, re.MULTILINE)
_CONTEXT = {"player_choice": {"brave": True, "rich": True}}


def _blocks(language_: str) -> list[str]:
    return re.findall(rf"^```{language_}\n(.*?)^```$", _PAGE, re.MULTILINE | re.DOTALL)


def _codes(text: str) -> set[Code]:
    try:
        rules = language.parse(text)
    except language.RulesError as error:
        return {error.found.code}
    return {each.code for each in (*language.lint(rules), *language.compile(rules, _CONTEXT).warnings)}


def test_the_example_comes_to_what_the_page_says() -> None:
    first = language.parse(_blocks("rules")[0])
    (context,), (overrides,) = _blocks("json context"), _blocks("json overrides")
    assert language.compile(first, json.loads(context)).overrides == json.loads(overrides)


@pytest.mark.parametrize("text", _blocks("rules"))
def test_nothing_is_wrong_with_the_pages_rules(text: str) -> None:
    assert language.lint(language.parse(text)) == ()


@pytest.mark.parametrize(("code", "text"), _ROWS)
def test_every_row_shows_its_code(code: str, text: str) -> None:
    assert code in _codes(text.replace("⏎", "\n"))


def test_every_code_has_a_row() -> None:
    assert [code for code, _ in _ROWS] == [str(each) for each in Code]


@pytest.mark.parametrize("field", fields.FIELDS.values(), ids=lambda field: field.path)
def test_every_field_and_value_is_named(field: fields.Field) -> None:
    leaf = re.sub(r"_(\w)", lambda found: found[1].upper(), field.leaf)
    path = f"{field.path.split('.')[0]}.{leaf}"
    assert f"`{leaf}`" in _PAGE or f"`{path}`" in _PAGE or field.path == "fallback.mode"
    if not field.path.startswith("fallback"):
        assert all(re.search(rf"\b{value}\b", _PAGE) for value in field.values)
