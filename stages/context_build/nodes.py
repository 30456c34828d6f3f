"""What does a request's node come to, and what has to be said about it?"""

from __future__ import annotations

from typing import Final

from pydantic_core import from_json

from contracts import validation
from contracts.ports import Samples
from contracts.request import GenerationRequest

#: What a node may say and nothing acts on yet; the request's result tells.
WITHOUT_EFFECT: Final = (
    "purpose",
    "style",
    "duration",
    "constraints.rating",
    "constraints.content_rules",
    "strategy",
    "seed_source",
    "template_id",
    "version",
)


def examine(asked: GenerationRequest, body: bytes, kind: str, samples: Samples) -> validation.Examined:
    """The request's node with the layers around it, and what was found.

    Args:
        asked: a request that has a node.
        body: the same as it came; findings name fields as they are spelled there.
        kind: the kind that the request's subject names.
        samples: knows the default contents.
    """
    fallback = asked.wanted_fallback
    named = fallback.default_content_id if fallback else None
    known = (named,) if named is not None and samples.default_content(named) is not None else ()
    facts = validation.Facts(
        kind=kind, default_contents=known, social=asked.social is not None, without_effect=WITHOUT_EFFECT
    )
    return validation.examine(from_json(body)["node"], request=asked.layer, facts=facts)


def warnings(report: validation.Report) -> tuple[str, ...]:
    """What the result has to say, one line each."""
    return tuple(f"node: {each}" for each in report.warnings)
