"""Whose budgets is a call paid from, and what is said where one has no room?"""

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
    """Whose budgets a request's calls are paid from; travels with its brief."""

    workspace: str | None = None
    #: The node's own name, else its template's.
    node: str | None = None
    #: The node's own cap: it can only be stricter than the operator's.
    cap: Cap = Cap()
    #: The node is generated anew each time: the rate counts.
    always: bool = False
    #: When the fallback answers, ms since the epoch; reservations come back soon after.
    deadline_at_ms: int = 0
    #: Tokens that structuring may take for what is written, kept free so that no draft is wasted.
    ahead: Tokens = Tokens(prompt=0, completion=0)

    def structuring(self) -> BillingContext:
        """The same for the call that follows the draft."""
        return msgspec.structs.replace(self, always=False, ahead=Tokens(prompt=0, completion=0))


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator allows."""

    window_ms: int
    total: Cap = Cap()
    workspace: Cap = Cap()
    node: Cap = Cap()
    #: Generations a minute of a workspace's and of a node's that are generated anew each time.
    always_workspace: Cap = Cap()
    always_node: Cap = Cap()


class BudgetScope(msgspec.Struct, frozen=True, kw_only=True):
    """One budget that has to have room for a call."""

    #: Of its account: ``<window, ms>.<number of the window>.<scope>[.<names>]``, with escaped names.
    name: str
    cap: Cap
    window_ms: int
    ends_ms: int

    @property
    def rate(self) -> bool:
        """It counts generations: nothing of it comes back."""
        return self.cap.generations is not None


def purses(limits: Limits, spender: BillingContext, now_ms: int) -> tuple[BudgetScope, ...]:
    """The budgets that a call is paid from, the narrowest first; none where nothing is capped.

    Args:
        limits: what the operator allows.
        spender: whose call it is.
        now_ms: ms since the epoch; windows begin at multiples of their length.
    """
    return tuple(_purses(limits, spender, now_ms))


def _purses(limits: Limits, spender: BillingContext, now_ms: int) -> Iterator[BudgetScope]:
    workspace = escaped(spender.workspace)
    if spender.node is not None:
        node = f"node.{workspace}.{escaped(spender.node)}"
        yield from _purse(node, limits.node.under(spender.cap), limits.window_ms, now_ms)
        if spender.always:
            yield from _purse(f"always.{node}", limits.always_node, MINUTE_MS, now_ms)
    yield from _purse(f"workspace.{workspace}", limits.workspace, limits.window_ms, now_ms)
    if spender.always:
        yield from _purse(f"always.workspace.{workspace}", limits.always_workspace, MINUTE_MS, now_ms)
    yield from _purse("total", limits.total, limits.window_ms, now_ms)


def _purse(scope: str, cap: Cap, window_ms: int, now_ms: int) -> Iterator[BudgetScope]:
    if cap:
        number = now_ms // window_ms
        name, ends_ms = f"{window_ms}.{number}.{scope}", (number + 1) * window_ms
        yield BudgetScope(name=name, cap=cap, window_ms=window_ms, ends_ms=ends_ms)


class AccountName(msgspec.Struct, frozen=True, kw_only=True):
    """What an account's name says."""

    window_ms: int
    ends_ms: int
    #: ``total``, ``workspace`` or ``node``.
    scope: str
    workspace: str | None = None
    node: str | None = None
    #: It counts generations of nodes that are generated anew each time.
    rate: bool = False

    @property
    def owner(self) -> str:
        """Whose it is, for people."""
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


def named(name: str) -> AccountName | None:
    """Read an account's name; ``None`` where it is none."""
    tokens = name.split(".")
    rate = tokens[2:3] == ["always"]
    scope = tokens[3 if rate else 2 :]
    known = {("total", 1), ("workspace", 2), ("node", 3)}
    if not (tokens[0].isdecimal() and tokens[1:2] and tokens[1].isdecimal()):
        return None
    if not scope or (scope[0], len(scope)) not in known:
        return None
    window_ms, number = int(tokens[0]), int(tokens[1])
    workspace, node = ([unescaped(token) for token in scope[1:]] + [None, None])[:2]
    return AccountName(
        window_ms=window_ms,
        ends_ms=(number + 1) * window_ms,
        scope=scope[0],
        workspace=workspace,
        node=node,
        rate=rate,
    )


def escaped(name: str | None) -> str:
    """A name as one token of a key."""
    return _NONE if name is None else key_token.escape(name)


def unescaped(token: str) -> str | None:
    """The name that a token stands for."""
    return None if token == _NONE else key_token.unescape(token)


def told(purse: BudgetScope, why: Refusal) -> str:
    """The sentence for a call that is not made: whose budget, which cap, and when it opens again."""
    said = named(purse.name)
    owner = said.owner if said else purse.name
    opens = f"it opens again at {timestamp.format_ms(purse.ends_ms, 'seconds')}"
    if purse.rate:
        started = f"{amount(why.unit, why.reserved)} with strategy 'always' were started this minute"
        return f"{started} for {owner}, and {why.cap:,} are allowed; {opens}"
    if why.need > why.cap:
        opens = "it never has room for that: raise the cap, or lower max_tokens"
    return (
        f"the budget of {owner} has no room: its cap is {amount(why.unit, why.cap)} {per(purse.window_ms)}, "
        f"{amount(why.unit, why.spent)} spent and {amount(why.unit, why.reserved)} reserved, "
        f"and this call may take {amount(why.unit, why.need)}; {opens}"
    )


def amount(unit: Unit, value: int) -> str:
    """A value with its unit, for people."""
    match unit:
        case "tokens":
            return f"{value:,} tokens"
        case "nanos":
            return f"{value / NANOS:.9f}".rstrip("0").rstrip(".") + " units of money"
        case "generations":
            return f"{value:,} generations"


def per(window_ms: int) -> str:
    """A window's length, for people."""
    lengths = {MINUTE_MS: "a minute", 3_600_000: "an hour", 86_400_000: "a day", 604_800_000: "a week"}
    return lengths.get(window_ms, f"every {window_ms / 1000:g} s")
