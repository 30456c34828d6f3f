"""Records without words: what the audit keeps where ``audit.store_prompts`` is off.

What is kept is listed; of everything else, fields of later versions included, a hash and a length are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from contracts.redaction import redact_reason, redact_text, redact_value
from stages.audit.fold import RequestRecord

#: Fields that are kept: whole, or those of their own fields that are listed.
_Kept = Mapping[str, Any]
_WHOLE: Final = True
_SCENE: Final[_Kept] = {"id": _WHOLE}

#: Of a request's parameters: ids, kinds, numbers, and choices from a fixed list.
_PARAMETERS: Final[_Kept] = {
    **dict.fromkeys(
        (
            *("seed", "deadline_ms", "params", "provider", "workspace", "world", "template_id", "fallback"),
            *("replay_of", "shadow", "from_stage", "reuse", "patched_by", "scenes", "scene_of"),
        ),
        _WHOLE,
    ),
    "player_context": {"player_id": _WHOLE, "playthrough_id": _WHOLE},
    "node": {
        **dict.fromkeys(
            (
                *("id", "generation_type", "purpose", "duration", "strategy", "seed_source", "fallback"),
                *("budget", "template_id", "enabled", "version"),
            ),
            _WHOLE,
        ),
        "style": {"pacing": _WHOLE, "transition_type": _WHOLE},
        "constraints": {"rating": _WHOLE},
    },
    "prompt_config": dict.fromkeys(("version_id", "family", "version", "auto_select_latest"), _WHOLE),
    "social": {
        **dict.fromkeys(("affinity", "trust", "chemistry", "tension", "max_rating"), _WHOLE),
        "preferences": {"reduce_intimacy": _WHOLE},
    },
    "scene_from": _SCENE,
    "scene_to": _SCENE,
}
#: Texts of a result that may name a request's fields.
_REASONS: Final = frozenset({"message", "reason", "why"})
#: Of a result.
RESULT: Final[_Kept] = {
    **dict.fromkeys(
        (
            *("request_id", "kind", "status", "origin", "content_ref", "content_hash", "stand_in"),
            "content_left_out",
        ),
        _WHOLE,
    ),
    "error": {"code": _WHOLE, "stage": _WHOLE},
    "attempts": dict.fromkeys(("provider", "model", "code", "time_ms"), _WHOLE),
    "scenes": dict.fromkeys(("request_id", "beat", "status", "origin"), _WHOLE),
    "meta": {
        **dict.fromkeys(
            (
                *("provider", "model", "seed", "deterministic", "drift", "prompt_version", "prompt_hash"),
                *("cache_key", "generated_for", "rating", "cost", "quality_score", "replay_of", "patched_by"),
                *("input_hash", "requested_at_ms", "experiment"),
            ),
            _WHOLE,
        ),
        "receipt": {"level": _WHOLE, "reasks": _WHOLE},
        "evaluation": {
            **dict.fromkeys(
                ("state", "score", "rubric", "rubric_hash", "provider", "model", "time_ms", "code"), _WHOLE
            ),
            "criteria": {"name": _WHOLE, "score": _WHOLE},
        },
        "enhancement": dict.fromkeys(
            (
                *("state", "of", "provider", "model", "time_ms", "code", "before_hash", "after_hash"),
                *("instructions_hash", "engine", "deterministic", "cached"),
            ),
            _WHOLE,
        ),
    },
}


def redact(record: RequestRecord) -> RequestRecord:
    """The record with hashes and lengths for all that people and models have written; once more changes nothing."""
    replace = msgspec.structs.replace
    asked, step, trouble, evidence, end = (
        record.asked,
        record.step,
        record.trouble,
        record.evidence,
        record.end,
    )
    return replace(
        record,
        asked=asked
        and replace(
            asked,
            prompt=_text(asked.prompt),
            parameters=_fields(asked.parameters, _PARAMETERS),
        ),
        step=step and replace(step, draft=_text(step.draft), document=_text(step.document)),
        trouble=trouble and replace(trouble, message=redact_reason(trouble.message)),
        evidence=evidence and replace(evidence, text=redact_text(evidence.text)),
        end=end and replace(end, result=_result(end.result)),
    )


def _text(text: str | None) -> str | None:
    return None if text is None else redact_text(text)


def _result(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result without its content: its hash is beside it."""
    found = _fields({name: value for name, value in result.items() if name != "content"}, RESULT)
    if result.get("content") is not None:
        found["content_left_out"] = True
    return found | {"content": None}


def _fields(values: Mapping[str, Any], kept: _Kept) -> dict[str, Any]:
    return {name: _value(name, value, kept.get(name)) for name, value in values.items()}


def _value(name: str, value: Any, kept: Any) -> Any:
    """A field's value as it is kept: whole, its own fields one by one, or what stands in for it."""
    if kept is _WHOLE or value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping) and kept is not None:
        return _fields(cast("Mapping[str, Any]", value), kept)
    if isinstance(value, list | tuple):
        return [_value(name, each, kept) for each in cast("list[Any]", value)]
    return redact_reason(value) if name in _REASONS and isinstance(value, str) else redact_value(value)
