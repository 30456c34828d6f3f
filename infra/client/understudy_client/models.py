"""The built-in kinds as pydantic models; needs the extra ``models``.

Generated from contracts/content by `python -m infra.lab.docgen`: edit those, not this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A document or a part of one; fields that a later pipeline adds are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Platform(Part):
    """Solid ground."""

    type: Literal["platform"]
    id: str
    x: float
    y: float
    width: float | None = None
    """Left out: the game's own size of a platform."""
    height: float | None = None
    """Left out: the game's own size of a platform."""
    color: str | None = None


class Player(Part):
    """Where the player starts."""

    type: Literal["player"]
    id: str
    x: float
    y: float
    facing: Literal["left", "right"] | None = None


class Collectible(Part):
    """Something to pick up, drawn by the game."""

    type: Literal["collectible"]
    id: str
    item: str | None = None
    """What it is: coin, key, letter."""
    x: float
    y: float
    value: int | None = None
    """Points or amount."""


class Enemy(Part):
    """Somebody in the way."""

    type: Literal["enemy"]
    id: str
    species: str | None = None
    behavior: Literal["idle", "patrol", "chase", "shoot"] | None = None
    x: float
    y: float
    patrol_width: float | None = None
    """How far it walks, pixels."""


class Hazard(Part):
    """Something that hurts: spikes, fire, a pit."""

    type: Literal["hazard"]
    id: str
    x: float
    y: float
    width: float | None = None
    height: float | None = None
    damage: int | None = None


class Goal(Part):
    """Where the level ends."""

    type: Literal["goal"]
    id: str
    x: float
    y: float
    leads_to: str | None = None
    """The next scene."""


class Decoration(Part):
    """Something to look at that nothing collides with."""

    type: Literal["decoration"]
    id: str
    looks: str | None = None
    x: float
    y: float
    asset_id: str | None = None


class Picture(Part):
    """Something shown as a stored image."""

    type: Literal["background_image", "platform_image", "collectible_image", "foreground_image"]
    id: str
    asset_id: str
    """Which stored image."""
    x: float
    y: float
    width: float | None = None
    """Left out: the image's own size."""
    height: float | None = None
    """Left out: the image's own size."""
    layer: int | None = None
    """Drawing order; lower is further back."""


class BackgroundColor(Part):
    """One colour behind everything."""

    type: Literal["background_color"]
    id: str
    color: str
    """#RRGGBB or #RRGGBBAA."""


class Layer(Part):
    """Entities that are drawn together."""

    id: str
    z_index: int
    """Drawing order; lower is further back."""
    entities: tuple[Platform | Player | Collectible | Enemy | Hazard | Goal | Decoration | Picture | BackgroundColor, ...]


class Layout(Part):
    """One level: its entities, in one list or in layers."""

    concept: str | None = None
    """What playing this level should feel like, decided before anything is placed."""
    scene_name: str
    entities: tuple[Platform | Player | Collectible | Enemy | Hazard | Goal | Decoration | Picture | BackgroundColor, ...] = ()
    """Every entity of a level without layers."""
    layers: tuple[Layer, ...] = ()
    """Layers, for a level that is drawn in several."""


class Beat(Part):
    """One step of the story."""

    purpose: str
    """What this beat does to the story: what is different after it."""
    name: str
    summary: str | None = None
    """What happens, in a few sentences."""
    characters: tuple[str, ...] = ()
    """Who is in it."""
    location: str | None = None
    tension: int
    """1 is rest, 10 is the moment that the story was built for."""


class Plot(Part):
    """A story as a sequence of beats."""

    premise: str
    """The story in one or two sentences: who wants what, and what stands in the way."""
    structure_type: Literal["three_act", "five_act", "hero_journey", "kishotenketsu", "mystery", "tragedy", "episodic", "branching"]
    title: str
    themes: tuple[str, ...] = ()
    beats: tuple[Beat, ...]
    """In the order in which the player meets them."""


class Setting(Part):
    """Where and when."""

    place: str
    time: str | None = None
    """Time of day or of the story: dusk, the third winter."""
    details: tuple[str, ...] = ()
    """What can be seen, heard or smelt."""


class Role(Part):
    """A character as the scene needs it."""

    name: str
    goal: str
    """What this character wants here."""
    obstacle: str | None = None
    """What is in the way."""
    mood: str | None = None


class Moment(Part):
    """Something that happens."""

    action: str
    """What is done, and by whom."""
    effect: str | None = None
    """What it changes."""


class Exit(Part):
    """A way on, offered to the player."""

    id: str
    label: str
    """What the player reads."""
    leads_to: str
    """The next scene."""
    condition: str | None = None
    """When it is offered."""


class Scene(Part):
    """One scene."""

    purpose: str
    """Why the story needs this scene."""
    title: str
    setting: Setting
    mood: str
    pacing: Literal["slow", "medium", "fast"] | None = None
    characters: tuple[Role, ...] = ()
    """Empty for a scene without people."""
    moments: tuple[Moment, ...]
    """In the order in which they happen."""
    narration: str
    """What the player reads or hears when the scene opens."""
    outcome: str
    """What is different when it ends."""
    exits: tuple[Exit, ...] = ()
    """Where the player can go from here."""


class Speaker(Part):
    """Somebody who takes part."""

    name: str
    voice: str | None = None
    """How this character talks."""
    wants: str | None = None
    """What this character is after in this conversation."""


class Choice(Part):
    """One thing that the player can say."""

    intent: str | None = None
    """What the player means by it: comfort, deflect, lie."""
    text: str
    goto: str | None = None
    """Id of the line that answers it, or "end"; left out: the next line."""


class Line(Part):
    """One thing said."""

    id: str | None = None
    """Only for lines that a choice points to."""
    speaker: str
    subtext: str | None = None
    """What is meant and not said."""
    emotion: str | None = None
    text: str
    action: str | None = None
    """What the speaker does while talking."""
    choices: tuple[Choice, ...] = ()
    """What the player can answer."""


class Dialogue(Part):
    """A conversation."""

    purpose: str
    """What has changed between the speakers at the end."""
    title: str
    setting: str | None = None
    speakers: tuple[Speaker, ...] = ()
    """Who takes part; when given, everybody who speaks is listed."""
    lines: tuple[Line, ...]
    """In the order in which they are said."""


class Step(Part):
    """One moment on the way."""

    purpose: str
    """What it does to the mood."""
    text: str
    """What is seen, heard or told."""
    mood: str | None = None
    at_s: float | None = None
    """When it starts, seconds from the start of the transition."""


class Transition(Part):
    """The bridge between two scenes."""

    purpose: str | None = None
    """What the player should take along into the next scene."""
    mood_from: str
    mood_to: str
    pacing: Literal["slow", "medium", "fast"]
    transition_type: Literal["gradual", "abrupt"]
    duration_s: float
    """Seconds on screen."""
    title: str | None = None
    elements: tuple[str, ...] = ()
    """What appears in it and is meant to be recognised: a ringing phone, a remembered kiss."""
    beats: tuple[Step, ...]
    """In the order in which they happen."""
    text: str
    """The narration, as the player reads or hears it."""
    sound: str | None = None
    image: str | None = None
    """What is on screen at the cut to the next scene."""


#: Each built-in kind's model.
MODELS: Final[Mapping[str, type[Part]]] = {
    "layout": Layout,
    "plot": Plot,
    "scene": Scene,
    "dialogue": Dialogue,
    "transition": Transition,
}
