"""How long a client waits for a result: the request's own deadline and a margin."""

from __future__ import annotations

from typing import Any, Final

import msgspec

#: A request's deadline where neither it nor its node names one, milliseconds.
DEFAULT_DEADLINE_MS: Final = 60_000
#: Seconds that a client waits beyond the deadline: the pipeline promises two, the rest is for a broker that restarts.
MARGIN_S: Final = 15.0
_MOST_MS: Final = 86_400_000


class _Fallback(msgspec.Struct, frozen=True):
    mode: Any = None
    timeout_ms: Any = None
    timeoutMs: Any = None  # noqa: N815 - the wire's other spelling

    @property
    def deadline_ms(self) -> Any:
        return self.timeout_ms if self.timeout_ms is not None else self.timeoutMs


class _Node(msgspec.Struct, frozen=True):
    fallback: _Fallback | None = None


class _Body(msgspec.Struct, frozen=True):
    deadline_ms: Any = None
    deadlineMs: Any = None  # noqa: N815 - as above
    fallback: _Fallback | None = None
    node: _Node | None = None


_decode: Final = msgspec.json.Decoder(_Body).decode


def wait_s(body: bytes, *, default_ms: int = DEFAULT_DEADLINE_MS) -> float:
    """Seconds within which a request's result should come.

    That is its ``deadline_ms``, else the time-out of its fallback, else that of its node's fallback, else the default;
    and :data:`MARGIN_S`.  A fallback's time-out is a pause where its mode is ``retry``, and no deadline.  What a template
    or rules set is not known here.

    Args:
        body: the request's body.
        default_ms: the pipeline's setting ``deadline_ms``.
    """
    try:
        said = _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        # The pipeline will reject it, at once.
        return default_ms / 1000 + MARGIN_S
    own = said.fallback or _Fallback()
    node = (said.node.fallback if said.node else None) or _Fallback()
    wanted = [said.deadline_ms, said.deadlineMs]
    if (own.mode or node.mode) != "retry":
        wanted += [own.deadline_ms, node.deadline_ms]
    return next(filter(_is_deadline, wanted), default_ms) / 1000 + MARGIN_S


def _is_deadline(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= _MOST_MS
