"""Preview of a request: merged node, prompt, seed, cache key and stand-in, without publishing anything.

Everything is decided by the functions of context-build, freeform-gen and fallback, on the files of this machine.  No
broker is asked, so that the cache, single flight and budgets have no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec

from contracts import events as ev
from contracts import request
from contracts.envelope import Received
from contracts.kinds import KINDS
from contracts.outcome import Emit, Fail, Outcome, Reject
from contracts.policy.rating import RatingInfo
from contracts.ports import RequestProgress, StoredRequest
from contracts.result import ErrorInfo, Origin
from infra.app.context_ports import load_ports, unsent
from infra.providers import routing
from stages.context_build import cache_scope
from stages.context_build.handle import build
from stages.context_build.layering import MergedNode, merge_node, overrides
from stages.fallback import handle as fallback
from stages.fallback.answer import shortlist, tags_of
from stages.fallback.plan import planner
from stages.freeform_gen.handle import write

if TYPE_CHECKING:
    from infra.settings.settings import Settings
    from stages.context_build.handle import BriefPorts
    from stages.fallback.plan import Planned


#: No seed that is derived from a node is negative.
_PLAIN: Final = -1


class NodeField(msgspec.Struct, frozen=True, kw_only=True):
    """A value of the merged node, and the layer that set it."""

    #: Dotted path, such as ``style.mood_to``.
    field: str
    value: Any
    #: ``defaults``, ``template``, ``node``, ``rules, line 3``, or ``request``; for a list, each layer that added to it.
    set_by: tuple[str, ...]


class PreviewedStandIn(msgspec.Struct, frozen=True, kw_only=True):
    """The result that the fallback would write."""

    status: str
    origin: str
    reason: str
    #: File name and SHA-256 of the content, for prepared content.
    name: str | None = None
    hash: str | None = None
    content: Any = None
    #: Golden samples that fit equally well; the request's input picks one of them.
    candidates: tuple[str, ...] = ()
    #: Their rating, and the tags that they share with the request.
    rating: str | None = None
    shared_tags: tuple[str, ...] = ()


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of a request."""

    kind: str
    #: ``model``: it would be generated; ``stand_in``: it would be answered without a model; ``rejected``.
    verdict: Literal["model", "stand_in", "rejected"]
    #: Why no model is called.
    error: ErrorInfo | None = None
    #: The merged node; empty where the request has none.
    node: tuple[NodeField, ...] = ()
    prompt: str | None = None
    prompt_version: str | None = None
    prompt_hash: str | None = None
    seed: int | None = None
    #: ``request``, or the seed source of the node; with ``timestamp`` each request gets another seed.
    seed_source: str | None = None
    #: Readable cache key, and the key in the bucket; ``None``: nothing is cached.
    cache_key: str | None = None
    key: str | None = None
    ttl_s: int | None = None
    rating: RatingInfo = RatingInfo()
    #: Sampling parameters of the writing call.
    params: ev.Params | None = None
    #: Providers of the kind's route, in the order in which they are asked; empty: model calls are turned off.
    providers: tuple[str, ...] = ()
    deadline_ms: int | None = None
    #: The answer if the model fails, or the answer where none is called; ``None``: the request is rejected.
    stand_in: PreviewedStandIn | None = None
    warnings: tuple[str, ...] = ()


async def preview(settings: Settings, kind: str, body: bytes, *, now_ms: int) -> Preview:
    """Decide what would become of a request.

    Args:
        settings: this process's settings.
        kind: content kind.
        body: the request's body.
        now_ms: when it would be stored, ms since the epoch.

    Raises:
        RequestError: the body cannot be read; names the field and the fix.
        UnderstudyError: samples, prompts, templates, worlds or settings that cannot be used.
    """
    if kind not in KINDS:
        raise request.RequestError("kind", f"{kind!r} is unknown; use one of {', '.join(KINDS)}")
    ports = load_ports(settings)
    received = unsent(kind, body, now_ms=now_ms)
    asked = request.read(body, kind)
    outcome = await build(received, ports)
    if isinstance(outcome, Reject):
        error = ErrorInfo(code=outcome.code, stage="context-build", message=outcome.message)
        return Preview(kind=kind, verdict="rejected", error=error)
    names = dict(routing.chains(settings))[kind] if settings.use_local_model else ()
    built, failed = await _written(received, outcome, called=bool(names))
    planned = planner(
        templates=ports.templates,
        overrides=overrides,
        worlds=ports.worlds,
        default_deadline_ms=settings.deadline_ms,
    )(body, kind)
    found = Preview(
        kind=kind,
        verdict="model" if failed is None else "stand_in",
        error=failed and ErrorInfo(code=failed.code, stage=failed.stage, message=failed.message),
        deadline_ms=planned.plan.deadline_ms,
        providers=names,
        rating=built.brief.rating if built else planned.plan.rating,
        stand_in=await find_stand_in(received, failed, planned, ports),
        warnings=built.trail.warnings if built else failed.trail.warnings if failed else (),
    )
    merged = merge_node(
        asked, body, kind, samples=ports.samples, templates=ports.templates, worlds=ports.worlds
    )
    found = msgspec.structs.replace(found, node=_fields(merged))
    return found if built is None else _with_brief(found, built.brief, asked, merged)


async def _written(
    received: Received[Any], outcome: Outcome, *, called: bool
) -> tuple[ev.ContextBuilt | None, ev.Failed | None]:
    """The brief, and why no model would write it."""
    match outcome:
        case Fail() as fail:
            return None, _failed(fail, "context-build", None)
        case Emit(events=(*_, ev.ContextBuilt() as built)):
            if called:
                return built, None
            refused = await write(
                msgspec.structs.replace(received, event=built, name=built.name),
                providers={},
                on_token=lambda _: None,
            )
            return built, _failed(refused, "freeform-gen", built) if isinstance(refused, Fail) else None
        case _:
            raise TypeError(f"context-build answered a request with {outcome}")


def _failed(fail: Fail, stage: str, built: ev.ContextBuilt | None) -> ev.Failed:
    return ev.Failed(
        attempt=1,
        code=fail.code,
        stage=stage,
        message=fail.message,
        brief=built.brief if built else None,
        trail=fail.trail or (built.trail if built else ev.Trail()),
    )


async def find_stand_in(
    received: Received[Any], failed: ev.Failed | None, planned: Planned, ports: BriefPorts
) -> PreviewedStandIn:
    """What the fallback answers.

    Args:
        received: the request.
        failed: the failure that it answers; ``None``: the deadline.
        planned: the request's fallback.
        ports: samples and content kinds.
    """
    event = failed or ev.Deadline(request_seq=received.sequence, deadline_ms=planned.plan.deadline_ms)
    log = _Unsent(received)
    outcome = await fallback.handle(
        msgspec.structs.replace(received, event=event, name=event.name),
        log=log,
        scene_log=log,
        samples=ports.samples,
        contents=ports.contents,
        plan_of=lambda _body, _kind: planned,
        replays=log,
    )
    if not isinstance(outcome, Emit) or not isinstance(result := outcome.events[-1], ev.Result):
        raise TypeError(f"the fallback answered {event.name} with {outcome}")
    fits = ()
    if result.origin is Origin.GOLDEN_SAMPLE:
        fits = shortlist(
            ports.samples.of_kind(received.kind),
            max_rating=result.meta.rating.effective,
            tags=tags_of(planned.asked),
        )
    return PreviewedStandIn(
        status=str(result.status),
        origin=str(result.origin),
        reason=result.reason or "",
        name=result.stand_in and result.stand_in.name,
        hash=result.stand_in and result.stand_in.hash,
        content=result.content,
        candidates=tuple(each.name for each in fits),
        rating=str(fits[0].rating) if fits else None,
        shared_tags=tuple(sorted(set(fits[0].tags) & set(tags_of(planned.asked)))) if fits else (),
    )


def _with_brief(
    found: Preview, brief: ev.Brief, asked: request.GenerationRequest, merged: MergedNode | None
) -> Preview:
    scope = cache_scope.decide_scope(asked, merged, kind=found.kind, moment="", input_seed=_PLAIN)
    # A seed in the request goes before the node's source, and a source whose player is unknown gives none.
    source = None if asked.seed is not None or scope.seed == _PLAIN else scope.source
    return msgspec.structs.replace(
        found,
        prompt=brief.prompt,
        prompt_version=brief.prompt_version,
        prompt_hash=brief.prompt_hash,
        seed=brief.freeform.seed,
        seed_source=str(source or "request"),
        cache_key=brief.cache_key,
        key=brief.slot and brief.slot.key,
        ttl_s=brief.slot and brief.slot.ttl_s,
        params=brief.freeform,
    )


def _fields(merged: MergedNode | None) -> tuple[NodeField, ...]:
    if merged is None:
        return ()
    values = merged.node.model_dump(mode="json", by_alias=False, exclude_none=True)
    layers: dict[str, list[str]] = {}
    for each in merged.decided:
        layer = each.by if each.line is None else f"{each.by}, line {each.line}"
        layers.setdefault(each.field, []).append(layer)
    return tuple(
        NodeField(field=path, value=value, set_by=tuple(dict.fromkeys(layers.get(path) or [merged.by(path)])))
        for path, value in _leaves(values, ())
    )


def _leaves(values: Mapping[str, Any], at: tuple[str, ...]) -> Sequence[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _leaves(cast("Mapping[str, Any]", value), (*at, name))
        elif value not in ([], ()):
            found.append((".".join((*at, name)), value))
    return found


class _Unsent:
    """The event log of a request that is not sent: that request alone; implements the log ports of the fallback."""

    def __init__(self, received: Received[Any]) -> None:
        self._received = received

    async def first_request(self, request_id: str) -> StoredRequest | None:
        """The request."""
        return StoredRequest(
            kind=self._received.kind,
            request_id=request_id,
            body=self._received.event.body,
            sequence=self._received.sequence,
            time_ms=self._received.time_ms,
        )

    async def seen(self, request_ids: Sequence[str]) -> Mapping[str, RequestProgress]:
        """Nothing happened to any request."""
        del request_ids
        return {}

    async def plotted(self, request_id: str) -> ev.Plotted | None:
        """No plot waits for scenes."""
        del request_id
        return None

    async def holds(self, request_id: str, replay_of: str) -> bool:
        """It repeats nothing."""
        del request_id, replay_of
        return False
