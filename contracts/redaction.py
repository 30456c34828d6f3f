"""Redaction: what stands in for the words of people and models where these are not kept (``audit.store_prompts``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, cast

from contracts.policy import fingerprint

#: Of a text or a value: its SHA-256, and its length in characters.  Rows of earlier releases have no length.
_STAND_IN: Final = re.compile(r"sha256:[0-9a-f]{64}(?: \(\d+ characters\))?")
#: The path that begins a fault, as refusals of requests write it, and what is between two faults.
_PATH: Final = re.compile(r"([A-Za-z_]\w*(?:\.[\w-]+|\[\d+\])*)(?:: |$)")
_TOKEN: Final = re.compile(r"\[\d+\]|[^.\[]+")
_BETWEEN: Final = " | "


def is_redacted(text: str) -> bool:
    """Whether a text stands in for another one."""
    return _STAND_IN.fullmatch(text) is not None


def redact_text(text: str) -> str:
    """What stands in for a text: ``sha256:… (12 characters)``; itself if it already stands in for one."""
    return text if is_redacted(text) else f"sha256:{fingerprint.digest_text(text)} ({len(text)} characters)"


def redact_value(value: Any) -> str:
    """What stands in for a JSON value: the hash and the length of its canonical JSON; a text as by :func:`redact_text`."""
    if isinstance(value, str):
        return redact_text(value)
    return redact_text(fingerprint.canonical_json(value).decode())


def redact_reason(reason: str) -> str:
    """What stands in for an error text or a reason: the fields of a request that it names, then its hash and length.

    Texts of errors quote requests, documents and servers, in many ways; only the names of a request's fields are
    known not to be somebody's words.
    """
    told = _STAND_IN.search(reason)
    # Of a text that stands in for one already, the fields are looked at again: whoever wrote it may not be us.
    rest = told[0] if told is not None and told.end() == len(reason) else redact_text(reason)
    found = [path[1] for fault in reason.split(_BETWEEN) if (path := _PATH.match(fault)) is not None]
    fields = dict.fromkeys(known for each in found if (known := _known_part(each)))
    return f"{_BETWEEN.join(fields)}: {rest}" if fields else rest


def _known_part(path: str) -> str:
    """The beginning of a path that consists of names which requests have."""
    known = ""
    for token in _TOKEN.findall(path):
        if token.startswith("["):
            known += token
        elif token in _field_names():
            known += f".{token}" if known else token
        else:
            break
    return known


@cache
def _field_names() -> frozenset[str]:
    """The names of a request's fields, at any depth, in both spellings."""
    from contracts.request import GenerationRequest  # noqa: PLC0415 - many that redact never need it

    return frozenset(
        name
        for aliased in (True, False)
        for name in _property_names(GenerationRequest.model_json_schema(by_alias=aliased))
    )


def _property_names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, value in cast("dict[str, Any]", schema).items():
            if name == "properties":
                yield from value
            yield from _property_names(value)
    elif isinstance(schema, list):
        for value in cast("list[Any]", schema):
            yield from _property_names(value)
