"""Workload files: a list of requests, or the transitions between a game's scenes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic.alias_generators import to_snake

from contracts.content.document import once
from contracts.errors import UnderstudyError
from contracts.nodes.adjacent_scenes import SceneRef
from infra.authoring import node_files
from infra.authoring.node_files import Source, UnparsableFile
from infra.settings import shipped

#: The scenario that ships, and that the demo plays.
THREE_SCENES: Final = shipped.SCENARIOS / "three_scenes.yaml"
_TRANSITION: Final = "transition"
#: Code of an empty file.
_NOTHING: Final = "FIL003"


class WorkloadError(UnderstudyError):
    """An empty or unreadable file; the text has the position and the correction."""


class WorkloadItem(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a file."""

    #: Label: ``rooftop to stairwell``, ``request 3``.
    name: str
    #: Content kind, if the file has it.
    kind: str | None
    #: Fields of the request; the outermost names are in snake_case.
    body: Mapping[str, Any]


def played(wanted: WorkloadItem, *, player: str | None, playthrough: str | None) -> WorkloadItem:
    """A request for one player or playthrough, in place of the file's; ``None`` keeps the file's."""
    named = {"player_id": player, "playthrough_id": playthrough}
    said = {name: value for name, value in named.items() if value is not None}
    context = wanted.body.get("player_context") or {}
    if not said or not isinstance(context, dict):
        return wanted
    body = {**wanted.body, "player_context": _snake(context) | said}
    return msgspec.structs.replace(wanted, body=body)


class _Fields(BaseModel):
    """One request of a file; fields that are not named here are the request's."""

    model_config = ConfigDict(extra="allow", frozen=True)

    # Pydantic's way to type the other fields.
    __pydantic_extra__: dict[str, JsonValue]  # pyright: ignore[reportIncompatibleVariableOverride] - as said above

    @property
    def body(self) -> dict[str, Any]:
        """The request's fields."""
        return _snake(self.__pydantic_extra__)


class _Request(_Fields):
    """An entry of a list."""

    kind: str | None = None


class _Transition(_Fields):
    """A transition between two scenes."""

    from_: str = Field(alias="from")
    to: str


class _Scenario(BaseModel):
    """Scenes, and the transitions between them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenes: tuple[SceneRef, ...] = Field(min_length=1)
    #: Fields that all transition requests share; a transition's own fields override them.
    request: dict[str, JsonValue] = {}
    transitions: tuple[_Transition, ...] = Field(min_length=1)


def read(text: str, language: Literal["json", "yaml"] | None = None) -> tuple[WorkloadItem, ...]:
    """Read the requests of a file's text.

    Args:
        text: JSON or YAML; a request, a list of them or a scenario; or JSON lines, one request each.
        language: from the file's name; ``None``: a text that begins like JSON is JSON.

    Raises:
        WorkloadError: with the position of the fault.
    """
    lines = _json_lines(text)
    if lines is not None:
        return tuple(_request(each, number) for number, each in enumerate(lines, start=1))
    try:
        source = node_files.read(text, language)
    except UnparsableFile as error:
        if not text.strip() or error.finding.code == _NOTHING:
            raise WorkloadError("it is empty; write a request, a list of requests or a scenario") from None
        raise WorkloadError(str(error)) from None
    first = source.nodes[0]
    if not source.listed and isinstance(first, dict) and {"scenes", "transitions"} & first.keys():
        return _transitions(source)
    return tuple(_request(each, number) for number, each in enumerate(source.nodes, start=1))


def _json_lines(text: str) -> list[Any] | None:
    """The values of JSON lines; ``None`` if the text is something else."""
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        if len(lines) < 2 or not isinstance(json.loads(lines[0]), dict):  # noqa: PLR2004 - lines, in the plural
            return None
    except (ValueError, RecursionError):
        return None
    made: list[Any] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            made.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise WorkloadError(f"line {number} is not JSON: {error}; fix it there") from None
    return made


def _request(given: Any, number: int) -> WorkloadItem:
    name = f"request {number}"
    if not isinstance(given, dict):
        raise WorkloadError(f"{name} is no object; write one such as {{kind: plot, prompt: a heist}}")
    try:
        said = _Request.model_validate(given)
    except ValidationError as error:
        path, message = _first(error)
        raise WorkloadError(": ".join(filter(None, (name, path, message)))) from None
    return WorkloadItem(name=name, kind=said.kind, body=said.body)


def _transitions(source: Source) -> tuple[WorkloadItem, ...]:
    try:
        told = _Scenario.model_validate(source.nodes[0])
        once([scene.id for scene in told.scenes], "scene")
    except ValidationError as error:
        raise _wrong(source, *_first(error)) from None
    except ValueError as error:
        raise _wrong(source, "scenes", str(error)) from None
    scenes = {
        scene.id: scene.model_dump(mode="json", by_alias=False, exclude_none=True) for scene in told.scenes
    }
    made: list[WorkloadItem] = []
    for index, each in enumerate(told.transitions):
        for field, named in (("from", each.from_), ("to", each.to)):
            if named not in scenes:
                path = f"transitions.{index}.{field}"
                raise _wrong(source, path, f"there is no scene {named!r}; there are {', '.join(scenes)}")
        sides = {"scene_from": scenes[each.from_], "scene_to": scenes[each.to]}
        body = _snake(told.request) | each.body | sides
        made.append(WorkloadItem(name=f"{each.from_} to {each.to}", kind=_TRANSITION, body=body))
    return tuple(made)


def _first(error: ValidationError) -> tuple[str, str]:
    """Path and message of the first error."""
    first = error.errors(include_url=False, include_input=False)[0]
    said = first["msg"].removeprefix("Value error, ").replace(" after validation", "")
    return ".".join(map(str, first["loc"])), said.replace("Tuple should", "List should")


def _wrong(source: Source, path: str, said: str) -> WorkloadError:
    place = source.place(path)
    return WorkloadError(f"line {place.line}, column {place.column}: {path}: {said}")


def _snake(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The outermost names in snake_case, so that a transition's field replaces the same one of all."""
    return {to_snake(name): value for name, value in fields.items()}
