"""FastStream's broker of a process of stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faststream.nats import NatsBroker
from nats import errors

if TYPE_CHECKING:
    from types import TracebackType


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
                await connection.close()
