"""OpenTelemetry spans of a stage's work: of the work itself, of each provider call and of each message it sends.

Needs the extra ``otel``; imported only when ``telemetry.otlp_endpoint`` is set.  Attribute names are those of the
schema below and, for GenAI, of OpenTelemetry's GenAI conventions, which are in development.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from contracts.kinds import KINDS
from infra.telemetry.events import MessageEnding
from infra.telemetry.trace_events import CallFacts, SentMessage
from infra.telemetry.trace_facts import WorkFacts

#: Version of the semantic conventions that the names follow.
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
#: Name of the service, and of what instruments it.
SERVICE: Final = "understudy"

ERROR_TYPE: Final = "error.type"
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
MESSAGING_CONSUMER_GROUP: Final = "messaging.consumer.group.name"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_SEED: Final = "gen_ai.request.seed"
GEN_AI_REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
GEN_AI_REQUEST_TOP_P: Final = "gen_ai.request.top_p"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_OUTPUT_TYPE: Final = "gen_ai.output.type"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
REQUEST_ID: Final = "understudy.request_id"
KIND: Final = "understudy.kind"
STAGE: Final = "understudy.stage"
ENDING: Final = "understudy.ending"
DELIVERIES: Final = "understudy.deliveries"
STATUS: Final = "understudy.status"
ORIGIN: Final = "understudy.origin"
REFUSED: Final = "understudy.refused"
#: Of a link: ``scene``, ``replay`` or ``cache``.
RELATION: Final = "understudy.relation"

#: Kinds that do not exist.
_OTHER: Final = "other"
_CHAT: Final = "chat"
_FAILED: Final = frozenset({MessageEnding.FAILED, MessageEnding.REJECTED, MessageEnding.WAITS})


class SpanBuilder:
    """Makes spans of facts.

    Args:
        version: of this application.
        attributes: what identifies this process.
    """

    def __init__(self, *, version: str, attributes: Mapping[str, str]) -> None:
        named = {"service.name": SERVICE, "service.version": version, **attributes}
        self._resource = Resource.create(named, schema_url=SCHEMA_URL)
        self._scope = InstrumentationScope(SERVICE, version, SCHEMA_URL)

    def build(self, facts: WorkFacts, related: str | None) -> Iterator[ReadableSpan]:
        """The spans of a stage's work on one message.

        Args:
            facts: the work.
            related: ``traceparent`` of the result of the related request; ``None``: there is none, or it is not known.
        """
        context = _context(facts.context.trace_id, f"{random.getrandbits(64) or 1:016x}")
        yield self._work(facts, context, related)
        for call in facts.calls:
            yield self._call(facts, call, context)
        for message in facts.sent:
            yield self._send(facts, message, context)

    def _work(self, facts: WorkFacts, context: SpanContext, related: str | None) -> ReadableSpan:
        destination = _destination(facts.name, facts.kind)
        links: list[Link] = []
        if facts.context.link is not None:
            links.append(_link(facts.context.link, "scene"))
        if related is not None and facts.related is not None:
            links.append(_link(related, facts.related.relation))
        parent = facts.context.parent_id
        failed = facts.ending in _FAILED
        return self._span(
            f"process {destination}",
            SpanKind.CONSUMER,
            context=context,
            parent=None if parent is None else _context(facts.context.trace_id, parent, remote=True),
            links=links,
            began_ns=facts.began_ns,
            ended_ns=facts.ended_ns,
            failed=failed,
            attributes={
                MESSAGING_SYSTEM: "nats",
                MESSAGING_OPERATION_NAME: "process",
                MESSAGING_OPERATION_TYPE: "process",
                MESSAGING_DESTINATION_NAME: destination,
                MESSAGING_CONSUMER_GROUP: facts.stage,
                MESSAGING_MESSAGE_ID: f"{facts.stream}:{facts.seq}",
                REQUEST_ID: facts.request_id,
                KIND: facts.kind,
                STAGE: facts.stage,
                ENDING: str(facts.ending),
                DELIVERIES: facts.deliveries,
                STATUS: facts.status or None,
                ORIGIN: facts.origin or None,
                ERROR_TYPE: facts.code or (str(facts.ending) if failed else None),
            },
        )

    def _call(self, facts: WorkFacts, call: CallFacts, parent: SpanContext) -> ReadableSpan:
        called, params = call.called, call.params
        return self._span(
            f"{_CHAT} {called.model}",
            SpanKind.CLIENT,
            context=_context(facts.context.trace_id, f"{random.getrandbits(64) or 1:016x}"),
            parent=parent,
            began_ns=call.began_ns,
            ended_ns=call.ended_ns,
            failed=bool(called.code),
            attributes={
                GEN_AI_OPERATION_NAME: _CHAT,
                GEN_AI_PROVIDER_NAME: called.provider,
                GEN_AI_REQUEST_MODEL: called.model,
                GEN_AI_REQUEST_MAX_TOKENS: params.max_tokens,
                GEN_AI_REQUEST_SEED: params.seed,
                GEN_AI_REQUEST_TEMPERATURE: params.temperature,
                GEN_AI_REQUEST_TOP_P: params.top_p,
                GEN_AI_OUTPUT_TYPE: call.output,
                GEN_AI_RESPONSE_MODEL: call.response_model,
                GEN_AI_RESPONSE_FINISH_REASONS: (call.finish_reason,) if call.finish_reason else None,
                GEN_AI_USAGE_INPUT_TOKENS: called.prompt_tokens,
                GEN_AI_USAGE_OUTPUT_TOKENS: called.completion_tokens,
                REQUEST_ID: facts.request_id,
                ERROR_TYPE: called.code or None,
            },
        )

    def _send(self, facts: WorkFacts, message: SentMessage, parent: SpanContext) -> ReadableSpan:
        destination = (
            _destination(*message.subject.split(".")[1:3]) if message.subject[:4] == "gen." else "dead"
        )
        return self._span(
            f"send {destination}",
            SpanKind.PRODUCER,
            context=_context(facts.context.trace_id, message.traceparent[36:52]),
            parent=parent,
            began_ns=message.began_ns,
            ended_ns=message.ended_ns,
            failed=False,
            attributes={
                MESSAGING_SYSTEM: "nats",
                MESSAGING_OPERATION_NAME: "send",
                MESSAGING_OPERATION_TYPE: "send",
                MESSAGING_DESTINATION_NAME: destination,
                REQUEST_ID: facts.request_id,
                STAGE: facts.stage,
                REFUSED: True if message.refused else None,
            },
        )

    def _span(  # noqa: PLR0913 - what a span has
        self,
        name: str,
        kind: SpanKind,
        *,
        context: SpanContext,
        parent: SpanContext | None,
        began_ns: int,
        ended_ns: int,
        failed: bool,
        attributes: Mapping[str, Any],
        links: list[Link] | None = None,
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            context=context,
            parent=parent,
            resource=self._resource,
            attributes={key: value for key, value in attributes.items() if value is not None},
            links=links or (),
            kind=kind,
            status=Status(StatusCode.ERROR) if failed else Status(StatusCode.UNSET),
            start_time=began_ns,
            end_time=max(began_ns, ended_ns),
            instrumentation_scope=self._scope,
        )


def _destination(name: str, kind: str) -> str:
    """The subject without the id: it has few values, whatever kind a client invents."""
    return f"gen.{name}.{kind if kind in KINDS else _OTHER}"


def _context(trace_id: str, span_id: str, *, remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), remote, TraceFlags(TraceFlags.SAMPLED))


def _link(traceparent: str, relation: str) -> Link:
    return Link(_context(traceparent[3:35], traceparent[36:52], remote=True), {RELATION: relation})
