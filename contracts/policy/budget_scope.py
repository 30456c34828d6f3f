"""Budget scopes: the accounts that pay for a call, and the message when one has no room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from contracts import timestamp
from contracts.policy import key_token
from contracts.policy.budget import NANOS, Cap, Refusal, Unit
from contracts.usage import Tokens

MINUTE_MS: Final = 60_000
_NONE: Final = "="


class BillingContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Identity that a request's calls are billed to; travels with its brief."""

    workspace: str | None = None
    #: Id of the node, else of its template.
    node: str | None = None
    #: The node's own cap; it can only tighten the operator's.
    cap: Cap = Cap()
    #: The node has strategy ``always``: the rate limit applies.
    always: bool = False
    #: When the fallback answers, ms since the epoch; reservations expire soon after.
    deadline_at_ms: int = 0
    #: Tokens reserved for structuring, so that a draft is not wasted.
    ahead: Tokens = Tokens(prompt=0, completion=0)

    def structuring(self) -> BillingContext:
        """The context of the structuring call that follows the draft."""
        return msgspec.structs.replace(self, always=False, ahead=Tokens(prompt=0, completion=0))


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Caps that the operator configures."""

    window_ms: int
    total: Cap = Cap()
    workspace: Cap = Cap()
    node: Cap = Cap()
    #: Generations per minute with strategy ``always``, per workspace and per node.
    always_workspace: Cap = Cap()
    always_node: Cap = Cap()


class BudgetScope(msgspec.Struct, frozen=True, kw_only=True):
    """One budget that must have room for a call."""

    #: Account name: ``<window, ms>.<number of the window>.<scope>[.<names>]``, with escaped names.
    name: str
    cap: Cap
    window_ms: int
    ends_ms: int

    @property
    def rate(self) -> bool:
        """Whether the scope counts generations, which are never given back."""
        return self.cap.generations is not None


def budget_scopes(limits: Limits, spender: BillingContext, now_ms: int) -> tuple[BudgetScope, ...]:
    """The budgets that pay for a call, narrowest first; empty if nothing is capped.

    Args:
        limits: the operator's caps.
        spender: the identity that the call is billed to.
        now_ms: ms since the epoch; windows start at multiples of their length.
    """
    return tuple(_iter_scopes(limits, spender, now_ms))


def _iter_scopes(limits: Limits, spender: BillingContext, now_ms: int) -> Iterator[BudgetScope]:
    workspace = escape_name(spender.workspace)
    if spender.node is not None:
        node = f"node.{workspace}.{escape_name(spender.node)}"
        yield from _scope(node, limits.node.under(spender.cap), limits.window_ms, now_ms)
        if spender.always:
            yield from _scope(f"always.{node}", limits.always_node, MINUTE_MS, now_ms)
    yield from _scope(f"workspace.{workspace}", limits.workspace, limits.window_ms, now_ms)
    if spender.always:
        yield from _scope(f"always.workspace.{workspace}", limits.always_workspace, MINUTE_MS, now_ms)
    yield from _scope("total", limits.total, limits.window_ms, now_ms)


def _scope(scope: str, cap: Cap, window_ms: int, now_ms: int) -> Iterator[BudgetScope]:
    if cap:
        number = now_ms // window_ms
        name, ends_ms = f"{window_ms}.{number}.{scope}", (number + 1) * window_ms
        yield BudgetScope(name=name, cap=cap, window_ms=window_ms, ends_ms=ends_ms)


class AccountName(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an account name."""

    window_ms: int
    ends_ms: int
    #: ``total``, ``workspace`` or ``node``.
    scope: str
    workspace: str | None = None
    node: str | None = None
    #: Counts generations of nodes with strategy ``always``.
    rate: bool = False

    @property
    def owner(self) -> str:
        """Description of the owner, for people."""
        where = "without a workspace" if self.workspace is None else f"of workspace {self.workspace!r}"
        match self.scope:
            case "node":
                return f"node {self.node!r} {where}"
            case "workspace" if self.workspace is None:
                return f"the requests {where}"
            case "workspace":
                return f"workspace {self.workspace!r}"
            case _:
                return "all requests together"


def parse_account_name(name: str) -> AccountName | None:
    """Parse an account name; ``None`` if it is not one."""
    tokens = name.split(".")
    rate = tokens[2:3] == ["always"]
    scope = tokens[3 if rate else 2 :]
    known = {("total", 1), ("workspace", 2), ("node", 3)}
    if not (tokens[0].isdecimal() and tokens[1:2] and tokens[1].isdecimal()):
        return None
    if not scope or (scope[0], len(scope)) not in known:
        return None
    window_ms, number = int(tokens[0]), int(tokens[1])
    workspace, node = ([unescape_name(token) for token in scope[1:]] + [None, None])[:2]
    return AccountName(
        window_ms=window_ms,
        ends_ms=(number + 1) * window_ms,
        scope=scope[0],
        workspace=workspace,
        node=node,
        rate=rate,
    )


def escape_name(name: str | None) -> str:
    """A name as one token of a key."""
    return _NONE if name is None else key_token.escape(name)


def unescape_name(token: str) -> str | None:
    """The name that a token encodes."""
    return None if token == _NONE else key_token.unescape(token)


def refusal_text(purse: BudgetScope, why: Refusal) -> str:
    """Message for a refused call: whose budget, which cap, and when the next window opens."""
    account = parse_account_name(purse.name)
    owner = account.owner if account else purse.name
    opens = f"the next window opens at {timestamp.format_ms(purse.ends_ms, 'seconds')}"
    if purse.rate:
        started = f"{format_amount(why.unit, why.reserved)} with strategy 'always' were started this minute"
        return f"{started} for {owner}; {why.cap:,} are allowed; {opens}"
    if why.need > why.cap:
        opens = "it can never fit: raise the cap or lower max_tokens"
    return (
        f"the budget of {owner} has no room: cap {format_amount(why.unit, why.cap)} {format_window(purse.window_ms)}, "
        f"{format_amount(why.unit, why.spent)} spent, {format_amount(why.unit, why.reserved)} reserved, "
        f"and this call may need {format_amount(why.unit, why.need)}; {opens}"
    )


def format_amount(unit: Unit, value: int) -> str:
    """A value with its unit, for people."""
    match unit:
        case "tokens":
            return f"{value:,} tokens"
        case "nanos":
            return f"{value / NANOS:.9f}".rstrip("0").rstrip(".") + " units of money"
        case "generations":
            return f"{value:,} generations"


def format_window(window_ms: int) -> str:
    """Length of a window, for people."""
    lengths = {MINUTE_MS: "per minute", 3_600_000: "per hour", 86_400_000: "per day", 604_800_000: "per week"}
    return lengths.get(window_ms, f"every {window_ms / 1000:g} s")
