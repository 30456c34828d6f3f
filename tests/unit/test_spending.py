"""Does a brief say whose budgets its calls are paid from?"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts import request
from contracts.content.registry import Registry
from contracts.events import Params
from contracts.policy.budget import Cap
from contracts.policy.budget_scope import BillingContext
from contracts.usage import Tokens
from stages.context_build.spending import build_billing

PARAMS = Params(temperature=0, top_p=1, max_tokens=100, seed=1, timeout_s=1)
NODE = {"id": "storm", "strategy": "per_player"}


def asked(**fields: Any) -> request.GenerationRequest:
    return request.read(msgspec.json.encode({"prompt": "a storm", **fields}), "dialogue")


def spender(**fields: Any) -> BillingContext:
    made = asked(**fields)
    return build_billing(
        made,
        made.node,
        schema=Registry().schema("dialogue", None),
        writing=PARAMS,
        structuring=msgspec.structs.replace(PARAMS, max_tokens=700),
        deadline_at_ms=5,
    )


@pytest.mark.parametrize(
    ("fields", "node", "cap", "always"),
    [
        ({}, None, Cap(), False),
        ({"node": NODE}, "storm", Cap(), False),
        ({"node": {"templateId": "t1", "strategy": "always"}}, "t1", Cap(), True),
        (
            {"node": {**NODE, "budget": {"tokens": 7, "cost": 0.25}}},
            "storm",
            Cap(tokens=7, nanos=250_000_000),
            False,
        ),
        ({"node": {**NODE, "strategy": "always"}, "shadow": True, "replay_of": "r-1"}, None, Cap(), False),
    ],
    ids=["no node", "named", "by its template", "with a budget", "a shadow"],
)
def test_who_pays(fields: Any, node: str | None, cap: Cap, *, always: bool) -> None:
    made = spender(workspace="docks", **fields)
    assert (made.workspace, made.node, made.cap, made.always) == ("docks", node, cap, always)
    assert made.deadline_at_ms == 5


def test_what_structuring_may_take_is_kept_free() -> None:
    made = spender()
    assert made.ahead.completion == 700
    assert made.ahead.prompt is not None
    assert 400 + 2292 < made.ahead.prompt < 4000
    assert made.structuring().ahead == Tokens(prompt=0, completion=0)


def test_a_budget_does_not_shape_the_content() -> None:
    plain, capped = asked(node=NODE), asked(node={**NODE, "budget": {"tokens": 7}})
    assert plain.input_hash("dialogue") == capped.input_hash("dialogue")
    assert plain.input_hash("dialogue") != asked().input_hash("dialogue")
