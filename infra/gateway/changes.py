"""Changes: the audit row of who changed what over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.stores.changes import RecordedChange, add_change
from infra.telemetry.gateway_events import ChangeRecorded

if TYPE_CHECKING:
    from infra.gateway.access import Principal
    from infra.gateway.gateway import Gateway


async def record_change(gateway: Gateway, principal: Principal, action: str, target: str) -> None:
    """Store who changes what; call it right before the change, so that there is no change without its row.

    Args:
        gateway: the gateway.
        principal: who asks for the change.
        action: what is done, as ``resource.verb``, such as ``generations.cancel``.
        target: the id of what is changed.

    Raises:
        DatabaseError: the row cannot be stored; do not make the change.
    """
    change = RecordedChange(
        at_ms=gateway.now_ms(),
        via=principal.via,
        token_id=principal.token_id,
        workspace=principal.workspace,
        action=action,
        target=target,
    )
    await gateway.update(lambda engine: add_change(engine, change))
    gateway.telemetry.emit(
        ChangeRecorded(action=action, target=target, token_id=principal.token_id or "", via=principal.via)
    )
