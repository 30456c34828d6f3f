"""Which model belongs to which kind?"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from contracts.content import custom
from contracts.content.dialogue import Dialogue
from contracts.content.layout import Layout
from contracts.content.plot import Plot
from contracts.content.scene import Scene
from contracts.content.transition import Transition

MODELS: Final[Mapping[str, type[BaseModel]]] = {
    "layout": Layout,
    "plot": Plot,
    "scene": Scene,
    "dialogue": Dialogue,
    "transition": Transition,
}

_TEXT: Final = "[placeholder: this content was not generated]"
_PLACEHOLDERS: Final[Mapping[str, dict[str, Any]]] = {
    "layout": {
        "scene_name": _TEXT,
        "entities": [
            {"id": "ground", "type": "platform", "x": 0, "y": 550, "width": 800, "height": 50},
            {"id": "player_start", "type": "player", "x": 100, "y": 520},
        ],
    },
    "plot": {
        "title": _TEXT,
        "premise": _TEXT,
        "structure": "three_act",
        "beats": [
            {"purpose": _TEXT, "name": "beginning", "tension": 1},
            {"purpose": _TEXT, "name": "end", "tension": 1},
        ],
    },
    "scene": {
        "title": _TEXT,
        "setting": _TEXT,
        "mood": "neutral",
        "time_of_day": "noon",
        "characters": [],
        "narration": _TEXT,
        "choices": [],
    },
    "dialogue": {
        "title": _TEXT,
        "situation": _TEXT,
        "speakers": ["narrator"],
        "lines": [{"speaker": "narrator", "emotion": "neutral", "text": _TEXT}],
    },
    "transition": {
        "summary": _TEXT,
        "mood_from": "neutral",
        "mood_to": "neutral",
        "pacing": "medium",
        "transition_type": "gradual",
        "duration": 5,
        "moments": [{"at": 0, "text": _TEXT}],
    },
}


def model(kind: str) -> type[BaseModel]:
    """The pydantic model of a built-in kind.

    Raises:
        KeyError: for ``custom`` and unknown kinds, which have none.
    """
    return MODELS[kind]


@cache
def _schema(kind: str) -> dict[str, Any]:
    return MODELS[kind].model_json_schema()


class Registry:
    """The content kinds; implements :class:`contracts.ports.Contents`."""

    def schema(self, kind: str, own: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """The JSON Schema that documents of the kind follow; ``own`` for ``custom``."""
        if kind == "custom":
            return own or {}
        return _schema(kind)

    def check_schema(self, own: Mapping[str, Any]) -> str | None:
        """Why a request's own JSON Schema cannot be used; ``None`` when it can."""
        return custom.check_schema(own)

    def faults(self, kind: str, document: Any, own: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Why the document is not valid, one line per fault with its path; empty when it is."""
        if not document:
            return ("the document is empty",)
        if kind == "custom":
            return custom.faults(own or {}, document)
        try:
            MODELS[kind].model_validate(document)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            return tuple(_line(item["loc"], item["type"], item["msg"], document) for item in found)
        return ()

    def placeholder(self, kind: str, own: Mapping[str, Any] | None) -> Any | None:
        """A valid, labelled placeholder document; ``None`` where none can be built."""
        if kind == "custom":
            return custom.placeholder(own or {})
        return copy.deepcopy(_PLACEHOLDERS[kind])


def _line(loc: tuple[int | str, ...], kind: str, message: str, document: Any) -> str:
    """One fault with its path; the tags that pydantic puts into paths of unions are no fields."""
    path: list[str] = []
    here = document
    for index, part in enumerate(loc):
        tag = isinstance(here, dict) and part not in here and index < len(loc) - 1
        if tag:
            continue
        path.append(str(part))
        if isinstance(here, dict | list):
            try:
                here = here[part]  # pyright: ignore[reportArgumentType,reportCallIssue,reportUnknownVariableType]
            except (KeyError, IndexError):
                here = None
    said = "unknown field" if kind == "extra_forbidden" else message.removeprefix("Value error, ")
    return f"{'.'.join(path)}: {said}" if path else said
