"""Adjacent scenes: the scenes before and after the content, and their lines in the prompt."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

from contracts.nodes.node import NodePart, Words


class SceneRef(NodePart):
    """A scene next to the content; a plain string is its id."""

    #: Id of the scene in the game.
    id: Words
    #: Title of the scene. Default: its id.
    title: Words | None = None
    #: Mood of the scene; used for `moodFrom` or `moodTo` where no layer names one.
    mood: Words | None = None
    #: Summary of the scene, in a sentence or two.
    summary: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] | None = Field(
        default=None, max_length=1000
    )

    @property
    def line(self) -> str:
        """The scene in one line, for the prompt."""
        name = self.title or self.id
        return f"{name}: {' '.join(self.summary.split())}" if self.summary else name


def _from_id(given: Any) -> Any:
    return {"id": given} if isinstance(given, str) else given


#: A scene, given in full or by its id.
AdjacentScene = Annotated[SceneRef, BeforeValidator(_from_id, json_schema_input_type=str | SceneRef)]


def scene_moods(before: SceneRef | None, after: SceneRef | None) -> dict[str, str]:
    """The moods of both scenes, under the names of a node's style fields."""
    sides = {"mood_from": before, "mood_to": after}
    return {name: scene.mood for name, scene in sides.items() if scene is not None and scene.mood is not None}


def add_scene_lines(wish: str, before: SceneRef | None, after: SceneRef | None) -> str:
    """The wish with one line per scene below it; without scenes, the wish unchanged."""
    sides = {"scene before": before, "scene after": after}
    return "\n".join([wish, *(f"{name}: {scene.line}" for name, scene in sides.items() if scene)])
