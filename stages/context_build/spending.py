"""Whose budgets are a request's calls paid from, and what has to be kept free for the second one?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from contracts.events import Params
from contracts.nodes.node import Node, NodeBudget, Strategy
from contracts.policy.budget import Cap
from contracts.policy.budget_scope import BillingContext
from contracts.request import GenerationRequest
from contracts.usage import Tokens

#: Bytes of the structuring prompt beside schema and draft.
_INSTRUCTION: Final = 400
#: Bytes that one token of a draft has as a rule; the prompt that quotes it is counted in bytes.
_TOKEN: Final = 4


def spender_of(
    asked: GenerationRequest,
    node: Node | None,
    *,
    schema: Mapping[str, Any],
    writing: Params,
    structuring: Params,
    deadline_at_ms: int,
) -> BillingContext:
    """Who pays for a request.

    Args:
        asked: a checked request.
        node: what its layers came to; ``None`` for a request without a node.
        schema: JSON Schema of the answer.
        writing: parameters of the writing call.
        structuring: parameters of the structuring call.
        deadline_at_ms: when the fallback answers if nobody else has, ms since the epoch.
    """
    own = (node.budget if node else None) or NodeBudget()
    quoted = len(msgspec.json.encode(schema)) + _INSTRUCTION
    return BillingContext(
        workspace=asked.workspace,
        node=(node.id or node.template_id) if node else None,
        cap=Cap.of(own.tokens, own.cost),
        always=node is not None and node.strategy is Strategy.ALWAYS,
        deadline_at_ms=deadline_at_ms,
        ahead=Tokens(prompt=quoted + _TOKEN * writing.max_tokens, completion=structuring.max_tokens),
    )
