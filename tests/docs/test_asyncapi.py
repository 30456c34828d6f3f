"""Is docs/asyncapi.json whole, and does it tell of every consumer and publisher?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest

from contracts import pipeline
from tests import lives
from tests.docs.pages import ROOT

DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs/asyncapi.json").read_text(encoding="utf-8"))


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def test_every_reference_leads_somewhere() -> None:
    references = set(_references(DOCUMENT))
    assert references
    for reference in references:
        found = DOCUMENT
        for token in reference.removeprefix("#/").split("/"):
            assert token in found, reference
            found = found[token]


def test_every_consumer_receives_what_its_route_says() -> None:
    received = {
        (party, event)
        for party, action, event in (name.split(".") for name in DOCUMENT["operations"])
        if action == "receive" and party in pipeline.STAGES
    }
    told = {
        (route.stage, subject.split(".")[1] if subject != "dead.>" else "dead")
        for route in pipeline.routes()
        for subject in route.subjects
    }
    assert received == told - {("audit", "timer")}


@pytest.mark.parametrize(
    "event", [each for each in lives.life() if each.name != "requested"], ids=lambda e: e.name
)
def test_a_real_event_fits_its_message(event: Any) -> None:
    payload = DOCUMENT["components"]["messages"][event.name]["payload"]
    body = json.loads(msgspec.json.encode(event.event))
    jsonschema.validate(body, {**payload, "components": DOCUMENT["components"]})
