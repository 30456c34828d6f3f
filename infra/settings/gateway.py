"""Settings of the HTTP gateway."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.request import MAX_BODY


class GatewaySettings(BaseModel):
    """The HTTP gateway: `understudy serve`, and a process of `up`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    #: False: `up` starts no gateway.
    enabled: bool = True
    #: Address that it listens on; without tokens only an address of this machine is accepted.
    host: str = Field(default="127.0.0.1", min_length=1, max_length=255)
    #: Port; where another program has it, the gateway takes a free one and says so.  0: a free one.
    port: int = Field(default=8787, ge=0, le=65535)
    #: Names that the header `Host` may have, beside `localhost` and the addresses of this machine.
    hosts: tuple[str, ...] = ()
    #: Bytes of a request's body.
    body_bytes: int = Field(default=MAX_BODY, ge=1024, le=64 * 1024**2)
    #: Seconds within which a client must have sent the head of a request.
    head_seconds: float = Field(default=10.0, gt=0, le=600)
    #: Seconds within which it must have sent the body.
    body_seconds: float = Field(default=30.0, gt=0, le=600)
    #: Requests that wait for a result at once; one more gets 503.
    waiting: int = Field(default=2000, ge=1, le=100_000)
    #: Streams of events at once; one more gets 503.
    streams: int = Field(default=4000, ge=1, le=100_000)
    #: Replay jobs that run in the gateway at once; one more gets 503.
    replays: int = Field(default=4, ge=1, le=100)
    #: Whether requests need a token.  auto: as soon as one was created, or where other machines reach the gateway.
    #: required: always.  off: never, and it listens on this machine alone.
    tokens: Literal["auto", "required", "off"] = "auto"
    #: Hours after which a browser has to send its token again.
    session_hours: float = Field(default=12.0, gt=0, le=24 * 365)
    #: Requests per second of one token; one more gets 429.  None: no limit.
    rate: float | None = Field(default=100.0, gt=0, le=1_000_000)
    #: Requests that it may send at once after a pause.
    burst: int = Field(default=200, ge=1, le=1_000_000)
    #: Requests per second of all tokens of a workspace together.  None: no limit.
    workspace_rate: float | None = Field(default=None, gt=0, le=1_000_000)
    #: Requests that they may send at once after a pause.
    workspace_burst: int = Field(default=400, ge=1, le=1_000_000)
    #: Requests and streams of one token that are open at once; one more gets 429.
    in_flight: int = Field(default=500, ge=1, le=100_000)
    #: Seconds that a client keeps an idle connection.
    idle_seconds: int = Field(default=75, ge=1, le=3600)

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether a host is a name or an address of the machine itself."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
