"""FastStream's broker of a process of stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from faststream.nats import NatsBroker
from faststream.nats.security import NatsCredentials, NatsNKey, NatsSecurity
from nats import errors
from understudy_client.connection import close

if TYPE_CHECKING:
    from types import TracebackType


def sign_in(options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of ``nats.connect`` as FastStream takes them: key, credentials and TLS are one value there."""
    rest = dict(options)
    tls = {"ssl_context": rest.pop("tls", None), "tls_hostname": rest.pop("tls_hostname", None)}
    creds, nkey = rest.pop("user_credentials", None), rest.pop("nkeys_seed", None)
    if creds is not None:
        return {**rest, "security": NatsCredentials.from_file(creds, **tls)}
    if nkey is not None:
        return {**rest, "security": NatsNKey.from_file(nkey, **tls)}
    return {**rest, "security": NatsSecurity(**tls)} if any(tls.values()) else rest


class StageBroker(NatsBroker):
    """A broker that also stops while its server is away."""

    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        """Drain the connection; where the server is away there is nothing to drain."""
        connection = self._connection
        try:
            await super().stop(exc_type, exc_val, exc_tb)
        except (errors.ConnectionReconnectingError, errors.ConnectionClosedError):
            if connection is not None:
                await close(connection)
