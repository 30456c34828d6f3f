"""Validate-repair's decision on one text, with the real kinds and rating words."""

from __future__ import annotations

from typing import Any

from contracts import events as ev
from contracts.content.registry import Registry
from infra.app.schema_checks import CheckedContents
from infra.settings.settings import load
from infra.stores import word_lists
from stages.validate_repair.handle import validate
from tests import lives

CONTENTS = CheckedContents(Registry())
EXPLICITNESS = word_lists.load(load().rating_words)


def judged(
    text: str,
    *,
    reask: int = 0,
    max_reasks: int = 0,
    provider: str = "house",
    finish_reason: str = "stop",
    request_id: str = "r-1",
    accept_filled: bool = False,
    kind: str = "layout",
    **known: Any,
) -> Any:
    document = ev.Draft(text=text, provider=provider, model="m", finish_reason=finish_reason)
    event = ev.Structured(
        attempt=1,
        brief=lives.brief(**known),
        draft=lives.prose(provider=provider),
        document=document,
        reask=reask,
    )
    return lives.decided(
        validate(
            lives.received(event, request_id, sequence=5, kind=kind),
            contents=CONTENTS,
            explicitness=EXPLICITNESS,
            max_reasks=max_reasks,
            accept_filled=accept_filled,
        )
    )
