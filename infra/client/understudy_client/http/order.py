"""Order: a request for generation as the gateway gets it."""

from __future__ import annotations

from typing import Any, Self

import msgspec

from understudy_client import protocol


class HttpOrder(msgspec.Struct, frozen=True):
    """A request for generation, checked as far as a client can."""

    body: bytes
    headers: dict[str, str]

    @classmethod
    def compose(
        cls,
        kind: str,
        prompt: str | None,
        body: bytes | None,
        request_id: str | None,
        traceparent: str | None,
        fields: dict[str, Any],
    ) -> Self:
        """The body and the headers.

        Raises:
            InvalidRequest: no pipeline accepts it.
        """
        body = protocol.compose(prompt, fields, body)
        key = request_id or protocol.new_id()
        protocol.check_kind(kind)
        protocol.check_id(key)
        protocol.check_body(body)
        # One trace for all tries.
        parent = protocol.child_of(traceparent)
        return cls(body, {"Idempotency-Key": key, protocol.TRACEPARENT: parent})
