"""Replay orders: what an HTTP request asks to repeat, and how; checked as the command line checks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from contracts.request_edits import EditError
from infra.app.replay_source import format_source
from infra.app.rerun_desk import read_options
from infra.gateway import listing
from infra.gateway.letter_access import check_own, find_letter, patch_problem, read_patch
from infra.gateway.problems import FieldProblem, Problem, not_found
from infra.inspect.request_filter import WORDS, FilterError, RequestFilter, parse_filter
from infra.providers.names import ModelUnknown
from infra.replay.jobs import JobLimits
from infra.replay.origins import MOST
from infra.replay.patching import PatchError
from infra.replay.plans import ReplayOptions

if TYPE_CHECKING:
    from infra.app.replay_desk import Proposal, ReplayDesk
    from infra.gateway.access import Principal
    from infra.gateway.gateway import Gateway

#: Ids in one order.
_MOST_IDS: Final = 10_000
_Id = (
    Annotated[str, StringConstraints(min_length=1, max_length=255)] | Annotated[int, Field(ge=1, strict=True)]
)
_Values = str | list[str]


class ReplayBudget(BaseModel):
    """The most that the replays may take."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    tokens: int | None = Field(default=None, ge=1, le=2**53)
    money: float | None = Field(default=None, gt=0, description="In the unit of the prices.")


class ReplayPace(BaseModel):
    """How fast a job publishes, and how much it may spend."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    rate: float | None = Field(default=None, gt=0, le=1e6, description="Most requests per second.")
    budget: ReplayBudget | None = None

    @property
    def limits(self) -> JobLimits:
        """The same as limits of a job."""
        budget = self.budget or ReplayBudget()
        return JobLimits(rate=self.rate, budget_tokens=budget.tokens, budget_money=budget.money)


class RequestSelection(BaseModel):
    """What is selected: by a filter, by ids, or both."""

    filter: dict[str, _Values] | None = Field(
        default=None,
        max_length=len(WORDS),
        description="The words of the lists' filters, such as `status` and `since`.",
    )
    ids: list[_Id] | None = Field(
        default=None,
        min_length=1,
        max_length=_MOST_IDS,
        description="Ids of requests, or numbers of letters; together with a filter both must match.",
    )
    all: bool = Field(default=False, description="Every one; required if there is neither filter nor ids.")
    limit: int | None = Field(
        default=None, ge=1, le=MOST, description="At most as many: the latest requests, the oldest letters."
    )


class ReplayOrder(ReplayPace, RequestSelection):
    """What to repeat, and how."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, allow_inf_nan=False)

    of: Literal["requests", "letters"] = Field(
        default="requests", description="Past requests, or the requests of dead letters."
    )
    patch: list[dict[str, Any]] | None = Field(
        default=None,
        max_length=1000,
        description="Edit each body by this JSON Patch; for more than one request it begins with a `test`.",
    )
    edits: dict[str, Any] = Field(
        default={},
        alias="set",
        max_length=100,
        description="Fields to change in each body, after the patch, such as `params.temperature`, `prompt` or `model`.",
        examples=[{"params.temperature": 0.2}],
    )
    from_stage: Literal["structuring", "validate-repair"] | None = Field(
        default=None,
        alias="from",
        description="First stage that works, with what the stages before it had stored.",
    )
    fresh: bool = Field(
        default=False,
        description="Generate everything anew, also what the result cache has; of letters always.",
    )
    again: bool = Field(default=False, description="Also what was replayed before.")
    dry_run: bool = Field(
        default=False, description="Make the plan, as a job that has not begun; publish nothing."
    )
    plan_hash: str | None = Field(
        default=None,
        max_length=64,
        description="Run only if the plan still is the one with this hash, else 412.",
    )

    @model_validator(mode="after")
    def _check_ids(self) -> Self:
        wanted = int if self.of == "letters" else str
        if any(type(each) is not wanted for each in self.ids or ()):
            said = "numbers of letters" if self.of == "letters" else "ids of requests, which are texts"
            raise ValueError(f"ids: must be {said}")
        return self


async def propose(gateway: Gateway, principal: Principal, desk: ReplayDesk, order: ReplayOrder) -> Proposal:
    """Make the plan that an order asks for, within the workspace of who asks; nothing is published.

    Raises:
        Problem: 403, 404, 422.
        UnderstudyError, StreamMissing, Unavailable, sqlalchemy.exc.SQLAlchemyError: as
            :meth:`ReplayDesk.propose_requests`.
    """
    where = read_selection(gateway, principal, order, letters=order.of == "letters")
    try:
        changed = read_options(gateway.settings, list_assignments(order.edits), order.from_stage)
    except (EditError, ModelUnknown) as error:
        raise edits_problem(error) from None
    options = ReplayOptions(
        patch=read_patch(order.patch),
        edits=changed.edits if order.edits else None,
        provider=changed.provider,
        from_stage=order.from_stage,
        reuse=order.of == "requests" and not order.fresh,
        again=order.again,
    )
    try:
        if order.of == "letters":
            proposal = await _propose_letters(gateway, principal, desk, order, where, options)
        else:
            proposal = await _propose_requests(desk, order, where, options)
    except PatchError as error:
        raise patch_problem(str(error)) from None
    if proposal.plan.counts["planned"]:
        check_own(principal, proposal.workspace)
    return proposal


async def _propose_letters(
    gateway: Gateway,
    principal: Principal,
    desk: ReplayDesk,
    order: ReplayOrder,
    where: RequestFilter,
    options: ReplayOptions,
) -> Proposal:
    sequences = [each for each in dict.fromkeys(order.ids or ()) if isinstance(each, int)]
    for each in sequences:
        await find_letter(gateway, principal, each)
    source = format_source(
        where,
        order.limit,
        ids=[str(each) for each in sequences],
        what="letters",
        words=gateway.settings.audit.store_prompts,
    )
    return await desk.propose_letters(where, options, sequences=sequences, limit=order.limit, source=source)


async def _propose_requests(
    desk: ReplayDesk, order: ReplayOrder, where: RequestFilter, options: ReplayOptions
) -> Proposal:
    ids = [each for each in dict.fromkeys(order.ids or ()) if isinstance(each, str)]
    source = format_source(where, order.limit, ids=ids)
    proposal = await desk.propose_requests(where, options, limit=order.limit, source=source, ids=ids)
    if ids and order.filter is None and order.limit is None:
        found = {each.origin.named for each in proposal.plan.items}
        missing = next((each for each in ids if each not in found), None)
        if missing is not None:
            raise not_found(f"request {missing!r}")
    return proposal


def list_assignments(edits: Mapping[str, Any]) -> list[str]:
    """Edits as the command line has them; ``null`` removes the field."""
    return [_assign(key, value) for key, value in edits.items()]


def edits_problem(error: Exception) -> Problem:
    """422 for edits that cannot be."""
    return Problem(
        422, "invalid-parameter", str(error), errors=(FieldProblem(pointer="/set", detail=str(error)),)
    )


def _assign(key: str, value: Any) -> str:
    """An assignment as the command line has it; ``null`` removes the field."""
    if value is None:
        return f"{key}="
    return f"{key}={value if isinstance(value, str) else msgspec.json.encode(value).decode()}"


def read_selection(
    gateway: Gateway, principal: Principal, wanted: RequestSelection, *, letters: bool = False
) -> RequestFilter:
    """The filter of a selection, within the workspace of who asks.

    Raises:
        Problem: 422.
    """
    given = {
        listing.ALIASES.get(name, name): ",".join(value) if isinstance(value, list) else value
        for name, value in (wanted.filter or {}).items()
    }
    for name in listing.RESULTS_ONLY if letters else ():
        if name in given:
            raise _filter_problem(name, "only results have it")
    try:
        found = parse_filter(given, now_ms=gateway.now_ms(), name=lambda word: word)
    except FilterError as error:
        raise _filter_problem(str(error).partition(" ")[0], str(error)) from None
    if found.empty and not wanted.ids and not wanted.all:
        text = (
            'say what is selected: `filter`, such as {"since": "1h"}, or `ids`; `all: true` means every one'
        )
        raise Problem(422, "invalid-parameter", text, errors=(FieldProblem(pointer="", detail=text),))
    if principal.workspace is not None and found.workspace not in (None, principal.workspace):
        raise _filter_problem("workspace", f"the token sees workspace {principal.workspace!r} alone")
    return listing.narrow_filter(found, principal)


def _filter_problem(name: str, text: str) -> Problem:
    pointer = f"/filter/{name}"
    return Problem(
        422, "invalid-parameter", f"filter: {text}", errors=(FieldProblem(pointer=pointer, detail=text),)
    )
