"""Access to dead letters: one letter by its number, behind the workspace wall."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from contracts.redaction import redact_reason
from infra.gateway.problems import FieldProblem, Problem, not_found
from infra.gateway.roles import AccessRole
from infra.inspect import dead_letters
from infra.inspect.dead_letters import LetterFilter, NoLetter
from infra.inspect.request_filter import RequestFilter
from infra.nats import log
from infra.replay import patching
from infra.replay.patching import PatchError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from infra.app.letter_desk import LetterVerdict
    from infra.gateway.access import Principal
    from infra.gateway.gateway import Gateway
    from infra.inspect.dead_letters import Letter
    from infra.replay.patching import Operations

#: In place of a letter's message, for those who may not replay it.
HIDDEN: Final = "only operators see the messages of letters: words are not kept (audit.store_prompts is off)"


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


def may_read_words(gateway: Gateway, principal: Principal) -> bool:
    """Whether words of letters are shown to who asks: where words are kept, else to those who may replay letters."""
    return gateway.settings.audit.store_prompts or principal.role >= AccessRole.OPERATOR


def choose_view(gateway: Gateway, principal: Principal, where: RequestFilter) -> Callable[[Letter], Letter]:
    """What of letters is listed for who asks.

    Raises:
        Problem: 403, a search in words that are not shown.
    """
    if may_read_words(gateway, principal):
        return lambda letter: letter
    if where.text is not None:
        raise Problem(403, "forbidden", f"text cannot be searched: {HIDDEN}")
    return hide_words


def hide_words(letter: Letter) -> Letter:
    """A letter without its message and evidence, and with hashes of what quotes them."""
    reason = redact_reason(letter.reason)
    own = letter.letter and msgspec.structs.replace(
        letter.letter, reason=reason, body=None, body_ref=None, evidence=None
    )
    return msgspec.structs.replace(letter, reason=reason, letter=own, data=own and msgspec.to_builtins(own))


def hide_verdict(verdict: LetterVerdict) -> LetterVerdict:
    """A verdict without the message, and with hashes of what quotes it."""
    return msgspec.structs.replace(
        verdict, body=None, reason=verdict.reason and redact_reason(verdict.reason), violations=()
    )


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
