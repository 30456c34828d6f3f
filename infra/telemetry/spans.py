"""OpenTelemetry spans of a stage's work: of the work itself, of each provider call and of each message it sends.

Needs the extra ``otel``; imported only when ``telemetry.otlp_endpoint`` is set.  Attribute names are those of the
schema below and, for GenAI, of OpenTelemetry's GenAI conventions, which are in development.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from opentelemetry.sdk.resources import Resource

from contracts.kinds import HELPER_TASKS, KINDS
from infra.telemetry import otlp
from infra.telemetry.events import MessageEnding
from infra.telemetry.otlp import RequestEncoder, encode_attributes, encode_head, encode_link, encode_span
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
#: Of a call for a helper task.
TASK: Final = "understudy.task"
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
#: Number of the field that holds a span's attributes, and of that with a link's.
_OF_SPAN, _OF_LINK = 9, 4
#: Encoded parts that are kept: few differ, but clients may invent kinds, and servers model names.
_KEPT: Final = 1024


class SpanBuilder:
    """Encodes the spans of facts.

    Args:
        version: of this application.
        attributes: what identifies this process.
    """

    def __init__(self, *, version: str, attributes: Mapping[str, str]) -> None:
        # The resource also has what the environment says of the process.
        resource = Resource.create({"service.name": SERVICE, "service.version": version, **attributes})
        self._request = RequestEncoder(
            resource=dict(resource.attributes),  # pyright: ignore[reportArgumentType] - wider types, not in a resource
            scope=(SERVICE, version),
            schema_url=SCHEMA_URL,
        )

    def encode(self, spans: Iterable[bytes]) -> bytes:
        """A request to a collector with spans of :meth:`build`."""
        return self._request.encode(spans)

    def build(self, facts: WorkFacts, related: str | None) -> Iterator[bytes]:
        """The spans of a stage's work on one message.

        Args:
            facts: the work.
            related: ``traceparent`` of the result of the related request; ``None``: there is none, or it is not known.
        """
        trace_id, span_id = bytes.fromhex(facts.context.trace_id), _new_id()
        request = encode_attributes({REQUEST_ID: facts.request_id}, number=_OF_SPAN)
        yield _work(facts, trace_id, span_id, request, related)
        for call in facts.calls:
            yield _call(call, trace_id, span_id, request)
        for message in facts.sent:
            yield _send(facts.stage, message, trace_id, span_id, request)


def _work(facts: WorkFacts, trace_id: bytes, span_id: bytes, request: bytes, related: str | None) -> bytes:
    links = b""
    if facts.context.link is not None:
        links += _link(facts.context.link, "scene")
    if related is not None and facts.related is not None:
        links += _link(related, facts.related.relation)
    parent = facts.context.parent_id
    failed = facts.ending in _FAILED
    # The id of the message differs in each; everything else repeats.
    message = encode_attributes({MESSAGING_MESSAGE_ID: f"{facts.stream}:{facts.seq}"}, number=_OF_SPAN)
    return encode_span(
        trace_id,
        span_id,
        parent_id=None if parent is None else bytes.fromhex(parent),
        remote=True,
        head=_head("process", _destination(facts.name, facts.kind), otlp.CONSUMER),
        began_ns=facts.began_ns,
        ended_ns=facts.ended_ns,
        attributes=_work_attributes(
            facts.stage,
            facts.name,
            facts.kind,
            facts.ending,
            facts.deliveries,
            facts.status,
            facts.origin,
            facts.code or (facts.ending if failed else ""),
        )
        + message
        + request,
        links=links,
        failed=failed,
    )


def _call(call: CallFacts, trace_id: bytes, parent_id: bytes, request: bytes) -> bytes:
    called, params = call.called, call.params
    return encode_span(
        trace_id,
        _new_id(),
        parent_id=parent_id,
        head=_head(_CHAT, called.model, otlp.CLIENT),
        began_ns=call.began_ns,
        ended_ns=call.ended_ns,
        attributes=encode_attributes(
            {
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
                TASK: called.stage if called.stage in HELPER_TASKS else None,
                ERROR_TYPE: called.code or None,
            },
            number=_OF_SPAN,
        )
        + request,
        failed=bool(called.code),
    )


def _send(stage: str, message: SentMessage, trace_id: bytes, parent_id: bytes, request: bytes) -> bytes:
    _, name, kind, *_ = *message.subject.split(".", 3), "", ""
    destination = _destination(name, kind) if message.subject.startswith("gen.") else "dead"
    return encode_span(
        trace_id,
        bytes.fromhex(message.traceparent[36:52]),
        parent_id=parent_id,
        head=_head("send", destination, otlp.PRODUCER),
        began_ns=message.began_ns,
        ended_ns=message.ended_ns,
        attributes=_send_attributes(stage, destination, message.refused) + request,
    )


@lru_cache(_KEPT)
def _head(verb: str, of: str, kind: int) -> bytes:
    return encode_head(f"{verb} {of}", kind)


@lru_cache(_KEPT)
def _work_attributes(
    stage: str, name: str, kind: str, ending: str, deliveries: int, status: str, origin: str, error: str
) -> bytes:
    return encode_attributes(
        {
            MESSAGING_SYSTEM: "nats",
            MESSAGING_OPERATION_NAME: "process",
            MESSAGING_OPERATION_TYPE: "process",
            MESSAGING_DESTINATION_NAME: _destination(name, kind),
            MESSAGING_CONSUMER_GROUP: stage,
            KIND: kind,
            STAGE: stage,
            ENDING: str(ending),
            DELIVERIES: deliveries,
            STATUS: status or None,
            ORIGIN: origin or None,
            ERROR_TYPE: error or None,
        },
        number=_OF_SPAN,
    )


@lru_cache(_KEPT)
def _send_attributes(stage: str, destination: str, refused: bool) -> bytes:  # noqa: FBT001 - key of a cache
    return encode_attributes(
        {
            MESSAGING_SYSTEM: "nats",
            MESSAGING_OPERATION_NAME: "send",
            MESSAGING_OPERATION_TYPE: "send",
            MESSAGING_DESTINATION_NAME: destination,
            STAGE: stage,
            REFUSED: True if refused else None,
        },
        number=_OF_SPAN,
    )


def _new_id() -> bytes:
    return (random.getrandbits(64) or 1).to_bytes(8)


def _destination(name: str, kind: str) -> str:
    """The subject without the id: it has few values, whatever kind a client invents."""
    return f"gen.{name}.{kind if kind in KINDS else _OTHER}"


def _link(traceparent: str, relation: str) -> bytes:
    return encode_link(traceparent, encode_attributes({RELATION: relation}, number=_OF_LINK))
