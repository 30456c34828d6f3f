"""Access to dead letters: one letter by its number, behind the workspace wall."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from infra.gateway.problems import FieldProblem, Problem, not_found
from infra.inspect import dead_letters
from infra.inspect.dead_letters import LetterFilter, NoLetter
from infra.inspect.request_filter import RequestFilter
from infra.nats import log
from infra.replay import patching
from infra.replay.patching import PatchError

if TYPE_CHECKING:
    from typing import Any

    from infra.gateway.access import Principal
    from infra.gateway.gateway import Gateway
    from infra.inspect.dead_letters import Letter
    from infra.replay.patching import Operations


async def find_letter(gateway: Gateway, principal: Principal, sequence: int) -> Letter:
    """A dead letter that the principal may see.

    Raises:
        Problem: 404, there is none.
        StreamMissing, Unavailable: the broker does not answer.
    """
    try:
        letter = await dead_letters.get(gateway.wire, sequence)
    except NoLetter:
        raise not_found(f"dead letter {sequence}") from None
    if principal.workspace is not None:
        own = LetterFilter(
            RequestFilter(workspace=principal.workspace, shadows=True), partial(log.owner, gateway.wire)
        )
        if not await own.passes(letter):
            raise not_found(f"dead letter {sequence}")
    return letter


def read_patch(given: list[dict[str, Any]] | None) -> Operations | None:
    """The JSON Patch of a body's field ``patch``.

    Raises:
        Problem: 422, it is none.
    """
    if given is None:
        return None
    try:
        return patching.check(given)
    except PatchError as error:
        raise patch_problem(str(error)) from None


def patch_problem(text: str) -> Problem:
    """422 for a patch."""
    return Problem(422, "invalid-parameter", text, errors=(FieldProblem(pointer="/patch", detail=text),))


def check_own(principal: Principal, workspace: str | None, *, field: str = "/patch") -> None:
    """Refuse an edit that moves a request into another workspace.

    Raises:
        Problem: 403.
    """
    if principal.workspace is not None and workspace != principal.workspace:
        raise Problem(
            403,
            "forbidden",
            f"the token belongs to workspace {principal.workspace}, and the edit changes the request's",
            errors=(FieldProblem(pointer=field, detail="changes the workspace"),),
        )
