"""Are the hostile inputs what their names say, and is it told what they did?"""

from __future__ import annotations

import json

import pytest

from contracts.kinds import KINDS
from infra.lab.bench import hostile_inputs

#: The broker's usual limit of a message, bytes.
PAYLOAD = 1024 * 1024


@pytest.mark.parametrize("name", hostile_inputs.names())
def test_a_hostile_input_can_be_published_and_says_its_deadline_if_it_can_be_read(name) -> None:
    one = hostile_inputs.make(name, deadline_ms=1234)
    assert one.name == name
    assert one.kind in KINDS
    assert len(one.body) < PAYLOAD
    if one.readable and name != "schema-deep":
        assert json.loads(one.body)["deadline_ms"] == 1234


def test_every_call_makes_the_same() -> None:
    assert [hostile_inputs.make(name) for name in hostile_inputs.names()] == [
        hostile_inputs.make(name) for name in hostile_inputs.names()
    ]


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        hostile_inputs.make("harmless")
