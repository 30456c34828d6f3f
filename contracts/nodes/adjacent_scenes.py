"""Between which two scenes does the content lie, and what is the writer told of them?"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

from contracts.nodes.node import NodePart, Words


class SceneRef(NodePart):
    """A scene beside the content; a text alone is its id."""

    #: The scene's own name in the game.
    id: Words
    #: What people call it; none: its id.
    title: Words | None = None
    #: Its mood; the node's `moodFrom` or `moodTo` where no layer names one.
    mood: Words | None = None
    #: What happens there, in a sentence or two.
    summary: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] | None = Field(
        default=None, max_length=1000
    )

    @property
    def line(self) -> str:
        """The scene in one line, for the writer."""
        said = self.title or self.id
        return f"{said}: {' '.join(self.summary.split())}" if self.summary else said


def _named(said: Any) -> Any:
    return {"id": said} if isinstance(said, str) else said


#: A scene, given whole or by its id.
Side = Annotated[SceneRef, BeforeValidator(_named, json_schema_input_type=str | SceneRef)]


def moods(before: SceneRef | None, after: SceneRef | None) -> dict[str, str]:
    """The moods on both sides, as a node's style names them."""
    sides = {"mood_from": before, "mood_to": after}
    return {name: scene.mood for name, scene in sides.items() if scene is not None and scene.mood is not None}


def told(wish: str, before: SceneRef | None, after: SceneRef | None) -> str:
    """The wish with a line below it for each scene; without scenes, the wish as it is."""
    sides = {"scene before": before, "scene after": after}
    return "\n".join([wish, *(f"{name}: {scene.line}" for name, scene in sides.items() if scene)])
