"""Do the examples of docs/poml.md render as the page shows, and does it name what there is?"""

from __future__ import annotations

import json
import re

import pytest

from contracts import poml
from contracts.poml import limits
from contracts.poml.tags import TAGS
from tests.docs.pages import ROOT

_PAGE = (ROOT / "docs" / "poml.md").read_text(encoding="utf-8")
_FENCE = r"(````?)(?:json|markdown) (output|messages)\n(.*?)\n\2"
_VALUES = json.loads(re.findall(r"```json values\n(.*?)\n```", _PAGE, re.DOTALL)[0])
_EXAMPLES = re.findall(rf"```xml example\n(.*?)\n```\n\n{_FENCE}", _PAGE, re.DOTALL)


@pytest.mark.parametrize(("source", "shows", "expected"), [(row[0], row[2], row[3]) for row in _EXAMPLES])
def test_an_example_renders_as_the_page_shows(source: str, shows: str, expected: str) -> None:
    template = poml.compile(source, file="example.poml")
    if shows == "output":
        assert template.text(_VALUES) == expected
    else:
        made = [{"speaker": each.speaker, "content": each.content} for each in template.messages(_VALUES)]
        assert made == json.loads(expected)


def test_every_example_is_tried() -> None:
    assert len(_EXAMPLES) == _PAGE.count("```xml example") >= 10


def test_the_page_names_every_tag_attribute_word_and_limit() -> None:
    words = {
        word
        for each in TAGS.values()
        for takes in each.values()
        if isinstance(takes, tuple)
        for word in takes
    }
    for name in {*TAGS, *(name for each in TAGS.values() for name in each), *words}:
        assert re.search(rf"(`|`<|<|\b){re.escape(name)}\b", _PAGE), name
    for limit in (limits.SOURCE, limits.STEPS, limits.OUTPUT):
        assert f"{limit:,}" in _PAGE
    assert f"{limits.ELEMENTS}; {limits.DEPTH}" in _PAGE
    assert f"{limits.EXPRESSION}; {limits.NESTED}" in _PAGE
    assert f"more than {limits.INCLUDES} deep" in _PAGE
