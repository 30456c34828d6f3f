"""Does the subset make of a document what POML's reference implementation makes of it, white space included?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contracts import poml
from contracts.poml.tags import TAGS
from tests.unit.poml import reference

#: Documents that show each tag of the subset.
_NAMES = reference.names()


def _include(within: str, src: str) -> tuple[str, str]:
    name = (Path(within).parent / src).as_posix()
    return name, (reference.CASES / name).read_text(encoding="utf-8")


def _made(name: str, values: dict[str, Any]) -> dict[str, Any]:
    template = poml.compile(reference.source(name), file=f"{name}.poml", include=_include)
    return {
        "messages": [
            {"speaker": each.speaker, "content": each.content} for each in template.messages(values)
        ],
        "text": template.text(values),
        "schema": template.schema,
    }


@pytest.mark.parametrize("name", _NAMES)
def test_a_document_renders_as_the_reference_rendered_it(name: str) -> None:
    recorded = reference.recorded(name)
    assert _made(name, recorded.pop("values")) == recorded


def test_every_tag_is_in_a_case() -> None:
    together = "".join(reference.source(name) for name in _NAMES)
    assert [tag for tag in TAGS if f"<{tag}" not in together] == []
    assert len(_NAMES) >= 40


@pytest.mark.skipif(reference.installed() is None, reason=reference.HOW)
@pytest.mark.parametrize("name", _NAMES)
def test_the_reference_still_renders_what_was_recorded(name: str) -> None:
    recorded = reference.recorded(name)
    assert reference.run(name, recorded.pop("values")) == recorded
