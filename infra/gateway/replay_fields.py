"""Fields of a request that replays set: they name other requests, or choose what operators choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from infra.gateway import lookup
from infra.gateway.access import AccessRole
from infra.gateway.problems import FieldProblem, Problem

if TYPE_CHECKING:
    from contracts.request import GenerationRequest
    from infra.gateway.access import Principal
    from infra.gateway.gateway import Gateway

#: Fields, and whether their value is the id of another request, whose content or subscribers it gets.
REPLAY_FIELDS: Final = {
    "replay_of": True,
    "scene_of": True,
    "shadow": False,
    "from_stage": False,
    "reuse": False,
    "patched_by": False,
    "provider": False,
}


async def check_replay_fields(gateway: Gateway, principal: Principal, asked: GenerationRequest) -> None:
    """Refuse fields of replays to those who may not replay, and ids that the sender must not see.

    Raises:
        Problem: 403, the role is too low; 404, the request named is not the sender's.
        ClientError, Unavailable: the broker does not answer.
    """
    used = {name: getattr(asked, name) for name in REPLAY_FIELDS if getattr(asked, name)}
    if not used:
        return
    if principal.role < AccessRole.OPERATOR:
        raise Problem(
            403,
            "forbidden",
            f"{', '.join(used)}: replays set this; it needs the role {AccessRole.OPERATOR.label}",
            errors=_faults(used),
        )
    named = [used[name] for name, is_id in REPLAY_FIELDS.items() if is_id and name in used]
    if principal.workspace is None or not named:
        return
    async with gateway.wait():
        await gateway.require_broker()
        for request_id in named:
            await lookup.check_visible(gateway, principal, request_id)


def _faults(used: dict[str, Any]) -> list[FieldProblem]:
    return [FieldProblem(pointer=f"/{name}", detail="needs the role operator") for name in used]
