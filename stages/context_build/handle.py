"""How does a request become a brief?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from contracts import events as ev
from contracts import request
from contracts.envelope import Received, Requested
from contracts.errors import ErrorCode
from contracts.nodes import adjacent_scenes, schema_pins, wording
from contracts.nodes.node import Constraints, FallbackMode, Node
from contracts.outcome import Emit, Fail, Outcome, Reject
from contracts.policy import fingerprint
from contracts.policy.social import Worlds
from contracts.ports import Contents, Prompts, Samples, Templates
from contracts.scenes import check_id
from stages.context_build import cache_scope, scenes, social
from stages.context_build.layering import Laid, TemplateLost, lay
from stages.context_build.prompts import render_freeform
from stages.context_build.spending import spender_of


async def handle(  # noqa: PLR0913 - its ports, one by one
    received: Received[Any],
    *,
    contents: Contents,
    samples: Samples,
    prompts: Prompts,
    templates: Templates,
    worlds: Worlds,
    freeform: ev.Params,
    structuring: ev.Params,
    default_deadline_ms: int,
    routes: Mapping[str, str] | None = None,
) -> Outcome:
    """Check one request and decide everything that the model stages need.

    Args:
        received: a ``requested`` event.
        contents: the content kinds.
        samples: golden samples and default contents.
        prompts: the prompt families.
        templates: the node templates.
        worlds: the worlds' schemas.
        freeform: parameters of the writing call where the request names none.
        structuring: parameters of the structuring call.
        default_deadline_ms: deadline of requests that name none.
        routes: which models write a kind; none: no model is wanted, and nothing is kept.

    Returns:
        ``context_built``, after ``clamped`` where the rating was lowered; a rejection that names the field
        and the fix; for a disabled node, or wishes that contradict each other, a failure that lets the
        fallback answer.
    """
    event = received.event
    if not isinstance(event, Requested):
        raise TypeError(f"context-build does not take {received.name}")
    try:
        asked = request.read(event.body, received.kind)
        check_id(asked, received.request_id)
        noted = await _require_usable(asked, contents, samples, worlds)
        laid = lay(asked, event.body, received.kind, samples=samples, templates=templates, worlds=worlds)
        node = laid.node if laid else Node()
        setting = social.build(asked, node.constraints or Constraints(), worlds)
        constraints = setting.constraints
        instruction = render_freeform(
            prompts,
            received.kind,
            adjacent_scenes.told(asked.prompt, asked.scene_from, asked.scene_to),
            node=node.model_copy(update={"constraints": constraints}),
            schema=asked.schema_,
            config=asked.prompt_config,
            told=setting.told,
        )
    except request.RequestError as error:
        return Reject(code=ErrorCode.GEN_INVALID_REQUEST, message=str(error))
    except TemplateLost as lost:
        return Fail(code=ErrorCode.GEN_INTERNAL, message=str(lost))
    input_hash = asked.input_hash(received.kind)
    shared = cache_scope.sharing(
        asked,
        laid,
        kind=received.kind,
        moment=f"{received.time_ms} {received.request_id}",
        # 52 bits: every JSON reader takes them for what they are.
        input_seed=int(input_hash[:13], 16),
    )
    warnings = (*noted, *instruction.warnings, *shared.warnings)
    trail = ev.Trail(warnings=(*(laid.warnings if laid else ()), *warnings))
    refused = _refused(laid, setting)
    if refused is not None:
        return Fail(code=refused[0], message=refused[1], trail=trail, events=setting.clamped)
    plan = request.plan_fallback(
        asked, default_deadline_ms=default_deadline_ms, around=laid.around if laid else None
    )
    wanted = asked.params.model_dump(exclude_none=True)
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
        settled=(schema_pins.settled(node, schema) or None) if asked.schema_ is None else None,
        rating=setting.decision.rating,
        social=setting.standing,
        tags=asked.tags,
        workspace=asked.workspace,
        world=asked.world,
        replay_of=asked.replay_of,
        scenes=scenes.shared(asked, laid),
        spender=spender_of(
            asked,
            laid.node if laid else None,
            schema=schema,
            writing=writing,
            structuring=structuring,
            deadline_at_ms=received.time_ms + plan.deadline_ms,
        ),
    )
    brief = cache_scope.placed(
        brief, shared, request_id=received.request_id, route=(routes or {}).get(received.kind)
    )
    built = ev.ContextBuilt(attempt=1, brief=brief, trail=trail, decided=laid.decided if laid else ())
    return Emit(events=(*setting.clamped, built))


def _refused(laid: Laid | None, setting: social.SocialSetting) -> tuple[ErrorCode, str] | None:
    """Why no model is asked, although the request is in order."""
    if laid is not None and not laid.node.enabled:
        return (
            ErrorCode.GEN_PROVIDER_DISABLED,
            f"the node is disabled (`enabled: false` in its {laid.by('enabled')})",
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
        raise request.RequestError("world", wording.unknown("world", asked.world, worlds.names()))
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
