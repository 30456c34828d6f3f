"""Handler of context-build: request to brief, or to the cached result of an equal request; scenes of plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from contracts import events as ev
from contracts import experiments, request, revisions
from contracts import scenes as plot_scenes
from contracts.envelope import Received, Requested
from contracts.errors import ErrorCode
from contracts.experiments import NO_EXPERIMENTS, Assignment, Experiments
from contracts.nodes import adjacent_scenes, schema_pins, wording
from contracts.nodes.node import Constraints, FallbackMode, Node
from contracts.outcome import Emit, Fail, Outcome, Reject
from contracts.policy import fingerprint
from contracts.policy.social import Worlds
from contracts.ports import Clock, Contents, KnownReplays, Prompts, Samples, SceneLog, Templates
from contracts.request_edits import EditError
from contracts.scenes import check_id
from stages.context_build import cache_scope, repetition, scenes, social
from stages.context_build.layering import MergedNode, TemplateLost, merge_node
from stages.context_build.prompts import render_freeform
from stages.context_build.single_flight import SingleFlight
from stages.context_build.spending import build_billing

_NO_NODE, _NO_CONSTRAINTS = Node(), Constraints()


class BriefPorts(msgspec.Struct, frozen=True, kw_only=True):
    """What a brief is made from, beside the request."""

    contents: Contents
    samples: Samples
    prompts: Prompts
    templates: Templates
    worlds: Worlds
    #: Parameters of the writing call where the request names none.
    freeform: ev.Params
    #: Parameters of the structuring call.
    structuring: ev.Params
    #: The parameters of both calls for kinds that have their own.
    kinds: Mapping[str, tuple[ev.Params, ev.Params]] = {}
    #: Deadline of requests that name none, ms.
    default_deadline_ms: int
    #: By kind, the models that write it; a kind without an entry has no cache key.
    routes: Mapping[str, str] = {}
    experiments: Experiments = NO_EXPERIMENTS


async def handle(
    received: Received[Any],
    *,
    brief: BriefPorts,
    flights: SingleFlight,
    scene_log: SceneLog,
    scenes_in_flight: int,
    replays: KnownReplays,
    steps: repetition.StoredSteps,
    clock: Clock,
) -> Outcome:
    """Turn a request into a brief, or into the result that the cache or an equal request has for it.

    For a plot that waits for its scenes: request the next scenes, or end the plot.

    Args:
        received: ``requested`` or ``plotted``.
        brief: what a brief is made from.
        flights: result cache and single flight.
        scene_log: the event log, for plots.
        scenes_in_flight: scenes of one plot that may run at once.
        replays: the known replays.
        steps: what stages stored for earlier requests.
        clock: the broker's time.

    Returns:
        ``context_built`` or ``result``, after ``clamped`` where the rating was lowered; for a replay that starts
        later, ``drafted`` or ``structured``; a wait for the request that generates the same; a rejection or a
        failure.  For a plot: requests for scenes, or ``result``.  With the result of a known replay, ``revised``.

    Raises:
        Unavailable: the broker does not answer.
    """
    event = received.event
    match event:
        case Requested():
            outcome = await build(received, brief)
            outcome = await repetition.resolve(
                outcome, request_id=received.request_id, replays=replays, steps=steps
            )
            outcome = await flights.resolve(outcome, request_id=received.request_id)
        case ev.Plotted():
            seen = await scene_log.seen((received.request_id, *plot_scenes.ids(event)))
            outcome = scenes.decide(
                event, seen, plotted_at_ms=received.time_ms, now_ms=clock(), in_flight=scenes_in_flight
            )
        case _:
            raise TypeError(f"context-build does not take {received.name}")
    return await revisions.confirm(outcome, request_id=received.request_id, replays=replays)


async def build(received: Received[Any], ports: BriefPorts) -> Outcome:
    """Check a request and decide everything that the model stages need.

    Args:
        received: a ``requested`` event.
        ports: what a brief is made from.

    Returns:
        ``context_built``, after ``clamped`` where the rating was lowered; a rejection that names the field
        and the fix; for a disabled node, or constraints that contradict each other, a failure, which the
        fallback answers.
    """
    event = received.event
    if not isinstance(event, Requested):
        raise TypeError(f"no brief is made of {received.name}")
    try:
        asked = request.read(event.body, received.kind)
        check_id(asked, received.request_id)
    except request.RequestError as error:
        return Reject(code=ErrorCode.GEN_INVALID_REQUEST, message=str(error), faults=error.faults)
    assigned = experiments.assign(ports.experiments.current(), asked, received.kind, received.request_id)
    if assigned.edits.fields:
        return await _build_edited(received, ports, asked, event.body, assigned)
    return await _build(received, ports, asked, event.body, assigned, asked.input_hash(received.kind))


async def _build_edited(
    received: Received[Any],
    ports: BriefPorts,
    asked: request.GenerationRequest,
    body: bytes,
    assigned: Assignment,
) -> Outcome:
    """As :func:`build`, with the fields that an experiment's arm sets; seed and hash stay those of the request.

    A request that is in order without them is not rejected because of them: the fallback answers, and the arm has failed.
    """
    input_hash = asked.input_hash(received.kind)
    try:
        edited = experiments.edit_body(msgspec.json.decode(body), assigned.edits)
        outcome = await _build(
            received, ports, request.read(edited, received.kind), edited, assigned, input_hash
        )
        fault = outcome.message if isinstance(outcome, Reject) else None
    except (EditError, request.RequestError) as error:
        outcome, fault = None, str(error)
    if outcome is not None and fault is None:
        return outcome
    plain = await _build(received, ports, asked, body, Assignment(), input_hash)
    if isinstance(plain, Reject):
        return plain
    arm = assigned.treatment and assigned.treatment.given
    where = f"experiment {arm.name}, arm {arm.arm}" if arm else "an experiment"
    return Fail(
        code=ErrorCode.GEN_INTERNAL,
        message=f"{where}: its settings do not fit this request: {fault}",
        trail=ev.Trail(warnings=assigned.warnings),
    )


async def _build(
    received: Received[Any],
    ports: BriefPorts,
    asked: request.GenerationRequest,
    body: bytes,
    assigned: Assignment,
    input_hash: str,
) -> Outcome:
    """As :func:`build`, of a request that could be read.

    Args:
        received: the event.
        ports: what a brief is made from.
        asked: the request, with what an experiment sets.
        body: its bytes.
        assigned: what the experiments decided.
        input_hash: of the request without what an experiment sets.
    """
    contents, samples, worlds = ports.contents, ports.samples, ports.worlds
    try:
        noted = await _require_usable(asked, contents, samples, worlds)
        merged = merge_node(
            asked, body, received.kind, samples=samples, templates=ports.templates, worlds=worlds
        )
        node = merged.node if merged else _NO_NODE
        given = node.constraints or _NO_CONSTRAINTS
        setting = social.build_setting(asked, given, worlds)
        constraints = setting.constraints
        instruction = render_freeform(
            ports.prompts,
            received.kind,
            adjacent_scenes.add_scene_lines(asked.prompt, asked.scene_from, asked.scene_to),
            node=node if constraints is given else node.model_copy(update={"constraints": constraints}),
            schema=asked.schema_,
            config=asked.prompt_config,
            told=setting.told,
        )
    except request.RequestError as error:
        return Reject(code=ErrorCode.GEN_INVALID_REQUEST, message=str(error), faults=error.faults)
    except TemplateLost as lost:
        return Fail(code=ErrorCode.GEN_INTERNAL, message=str(lost))
    shared = cache_scope.decide_scope(
        asked,
        merged,
        kind=received.kind,
        moment=f"{received.time_ms} {received.request_id}",
        # 52 bits: every JSON reader takes them for what they are.
        input_seed=int(input_hash[:13], 16),
    )
    warnings = (*noted, *assigned.warnings, *instruction.warnings, *shared.warnings)
    trail = ev.Trail(warnings=(*(merged.warnings if merged else ()), *warnings))
    refused = _refused(merged, setting)
    if refused is not None:
        return Fail(code=refused[0], message=refused[1], trail=trail, events=setting.clamped)
    plan = request.plan_fallback(
        asked, default_deadline_ms=ports.default_deadline_ms, around=merged.around if merged else None
    )
    wanted = asked.params.model_dump(exclude_none=True)
    freeform, structuring = ports.kinds.get(received.kind, (ports.freeform, ports.structuring))
    writing = msgspec.structs.replace(freeform, seed=shared.seed, fresh=shared.fresh, **wanted)
    structuring = msgspec.structs.replace(structuring, fresh=shared.fresh)
    schema = contents.schema(received.kind, asked.schema_)
    brief = ev.Brief(
        request_seq=received.sequence,
        requested_at_ms=received.time_ms,
        deadline_at_ms=received.time_ms + plan.deadline_ms,
        input_hash=input_hash,
        prompt=instruction.text,
        prompt_hash=fingerprint.digest_text(instruction.text),
        prompt_version=instruction.version,
        freeform=writing,
        structuring=structuring,
        schema=asked.schema_,
        required_elements=constraints.required_elements,
        avoid_elements=constraints.avoid_elements,
        settled=(schema_pins.pin_fields(node, schema) or None) if asked.schema_ is None else None,
        rating=setting.decision.rating,
        social=setting.standing,
        tags=asked.tags,
        workspace=asked.workspace,
        world=asked.world,
        replay_of=asked.replay_of,
        lineage=None if asked.lineage is None or asked.lineage.plain else asked.lineage,
        scenes=scenes.shared_fields(asked, merged),
        spender=build_billing(
            asked,
            merged.node if merged else None,
            schema=schema,
            writing=writing,
            structuring=structuring,
            deadline_at_ms=received.time_ms + plan.deadline_ms,
        ),
        experiment=assigned.treatment,
    )
    brief = cache_scope.assign_key(brief, shared, route=ports.routes.get(received.kind))
    built = ev.ContextBuilt(attempt=1, brief=brief, trail=trail, decided=merged.decided if merged else ())
    return Emit(events=(*setting.clamped, built))


def _refused(merged: MergedNode | None, setting: social.SocialSetting) -> tuple[ErrorCode, str] | None:
    """Why no model is asked, although the request is in order."""
    if merged is not None and not merged.node.enabled:
        return (
            ErrorCode.GEN_PROVIDER_DISABLED,
            f"the node is disabled (`enabled: false` in its {merged.by('enabled')})",
        )
    if setting.contradiction is not None:
        return ErrorCode.GEN_CONSTRAINT_FAIL, setting.contradiction
    return None


async def _require_usable(
    asked: request.GenerationRequest, contents: Contents, samples: Samples, worlds: Worlds
) -> tuple[str, ...]:
    """Refuse what only the outside can tell; the warnings about what is accepted.

    Raises:
        RequestError: naming the field and the fix.
    """
    warnings: tuple[str, ...] = ()
    if asked.schema_ is not None:
        verdict = await contents.verdict(asked.schema_)
        if verdict.refusal is not None:
            raise request.RequestError("schema", verdict.refusal)
        warnings = verdict.warnings
    if asked.world is not None and worlds.world(asked.world) is None:
        raise request.RequestError("world", wording.format_unknown("world", asked.world, worlds.names()))
    fallback = asked.fallback
    if fallback is None or fallback.default_content_id is None:
        return warnings
    named = FallbackMode.DEFAULT_CONTENT in (fallback.mode, fallback.then)
    if named and samples.default_content(fallback.default_content_id) is None:
        raise request.RequestError(
            "fallback.default_content_id",
            f"no default content {fallback.default_content_id!r}; "
            "use one from golden_samples/default_content/",
        )
    return warnings
