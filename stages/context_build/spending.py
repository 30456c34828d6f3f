"""Billing of a request: the budgets that pay for its calls, and the tokens reserved for the second one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from contracts.content import schema_text
from contracts.events import Params
from contracts.nodes.node import Node, NodeBudget, Strategy
from contracts.policy.budget import Cap
from contracts.policy.budget_scope import BillingContext
from contracts.request import GenerationRequest
from contracts.usage import Tokens

_NO_BUDGET: Final = NodeBudget()
#: Bytes of the structuring prompt without schema and draft.
_INSTRUCTION: Final = 400
#: Usual bytes per token of a draft; the prompt that quotes it is counted in bytes.
_TOKEN: Final = 4


def build_billing(
    asked: GenerationRequest,
    node: Node | None,
    *,
    schema: Mapping[str, Any],
    writing: Params,
    structuring: Params,
    deadline_at_ms: int,
) -> BillingContext:
    """Build the billing context of a request.

    Args:
        asked: a checked request.
        node: its merged node; ``None`` for a request without a node.
        schema: JSON Schema of the answer.
        writing: parameters of the writing call.
        structuring: parameters of the structuring call.
        deadline_at_ms: the request's deadline, ms since the epoch.
    """
    own = (node.budget if node else None) or _NO_BUDGET
    quoted = len(schema_text.encode(schema, keep=asked.schema_ is None)) + _INSTRUCTION
    return BillingContext(
        workspace=asked.workspace,
        # A shadow's tokens are not the node's: workspace and total pay for it.
        node=(node.id or node.template_id) if node and not asked.shadow else None,
        cap=Cap.of(own.tokens, own.cost),
        always=node is not None and node.strategy is Strategy.ALWAYS and not asked.shadow,
        deadline_at_ms=deadline_at_ms,
        ahead=Tokens(prompt=quoted + _TOKEN * writing.max_tokens, completion=structuring.max_tokens),
    )
