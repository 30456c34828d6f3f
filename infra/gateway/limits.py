"""Limits of access: requests per second and at once, for each token and for each workspace."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from infra.gateway.problems import Problem
from infra.gateway.rate import Quota, RateVerdict, admit

if TYPE_CHECKING:
    from starlette.types import Scope

    from infra.settings.gateway import GatewaySettings

#: Key of the scope under which there are further headers of the answer; the middleware adds them.
HEADERS: Final = "understudy.headers"
#: Key of the scope under which there are functions that the middleware calls once the request is answered.
FINALLY: Final = "understudy.finally"
#: Key of the scope of a request that was let in.
_ENTERED: Final = "understudy.entered"
#: Senders whose time-stamps are kept; above, those are dropped that may send a whole burst again.
_KEPT: Final = 4096


class AccessLimits:
    """What one token, and one workspace, may ask; somebody without a token is not limited.

    Args:
        settings: the limits.
        clock: seconds of a clock that does not go back.
    """

    def __init__(self, settings: GatewaySettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._most = settings.in_flight
        self._quotas: dict[str, Quota] = {}
        if settings.rate is not None:
            self._quotas["token"] = Quota(per_s=settings.rate, burst=settings.burst)
        if settings.workspace_rate is not None:
            self._quotas["workspace"] = Quota(per_s=settings.workspace_rate, burst=settings.workspace_burst)
        self._full_at_s: dict[tuple[str, str], float] = {}
        self._open: Counter[str] = Counter()

    def enter(self, token_id: str | None, workspace: str | None, scope: Scope) -> None:
        """Let a request in, until it is answered; once for each request.

        Args:
            token_id: the sender's token; ``None``: none.
            workspace: the workspace that the token is bound to.
            scope: the request's.

        Raises:
            Problem: 429 with ``Retry-After``.
        """
        if token_id is None or _ENTERED in scope:
            return
        scope[_ENTERED] = True
        if self._open[token_id] >= self._most:
            raise Problem(
                429,
                "too-many-requests",
                f"{self._most} requests of token {token_id} are open, which is the limit (gateway.in_flight)",
                headers={"Retry-After": "1"},
            )
        senders = {"token": token_id, "workspace": workspace}
        self._judge({name: who for name, who in senders.items() if who is not None}, scope)
        self._open[token_id] += 1
        scope.setdefault(FINALLY, []).append(lambda: self._leave(token_id))

    def open_requests(self, token_id: str) -> int:
        """Requests of a token that are not answered yet."""
        return self._open[token_id]

    def _judge(self, senders: dict[str, str], scope: Scope) -> None:
        now_s = self._clock()
        asked = {
            name: (
                who,
                self._quotas[name],
                admit(self._quotas[name], self._full_at_s.get((name, who), 0.0), now_s),
            )
            for name, who in senders.items()
            if name in self._quotas
        }
        if not asked:
            return
        # Of two limits the one that is nearer; a refusal is before all.
        name, (who, _, nearest) = min(
            asked.items(), key=lambda each: (each[1][2].admitted, each[1][2].remaining, -each[1][2].wait_s)
        )
        headers = {
            "RateLimit-Policy": ", ".join(
                f'"{each}";q={quota.burst};w={quota.window_s}' for each, (_, quota, _) in asked.items()
            ),
            "RateLimit": f'"{name}";r={nearest.remaining};t={_whole_seconds(nearest, now_s)}',
        }
        scope.setdefault(HEADERS, {}).update(headers)
        if not nearest.admitted:
            raise Problem(
                429,
                "too-many-requests",
                f"{name} {who} sends more than its limit; wait {nearest.wait_s:.2g} s",
                headers={"Retry-After": str(max(1, math.ceil(nearest.wait_s)))},
            )
        if len(self._full_at_s) >= _KEPT:
            self._full_at_s = {key: at_s for key, at_s in self._full_at_s.items() if at_s > now_s}
        for each, (sender, _, verdict) in asked.items():
            self._full_at_s[each, sender] = verdict.full_at_s

    def _leave(self, token_id: str) -> None:
        self._open[token_id] -= 1
        if self._open[token_id] <= 0:
            del self._open[token_id]


def _whole_seconds(verdict: RateVerdict, now_s: float) -> int:
    """Seconds until there is more: the whole burst, or the one request that is missing."""
    wait_s = verdict.full_at_s - now_s if verdict.remaining else verdict.wait_s
    return max(0, math.ceil(wait_s))
