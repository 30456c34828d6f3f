"""Synthetic levels."""

# ruff: noqa: C901, PLR0912, PLR0915, PLR2004 - a grammar is one long list of draws and their shares

from __future__ import annotations

from typing import Any, Final

import msgspec

from infra.lab.house_model import clues
from infra.lab.house_model.clues import Clue, Fact, What
from infra.lab.house_model.example import Cast, ExampleDraft
from infra.lab.house_model.words import (
    ENEMIES,
    HAZARDS,
    MOODS,
    NOUNS,
    NUMBERS,
    article,
    countable,
    listed,
    unlike,
)

#: Coordinates are multiples of this, pixels.
_GRID: Final = 20
_CONCEPTS: Final = (
    "It should feel {m}.",
    "Patient players will find it {m}.",
    "Playing it feels {m} from the first jump.",
    "It is {m} but for one hard jump.",
    "Everything here is {m} and a little strange.",
    "The climb is short and {m}.",
    "The way through the {p} should feel {m}.",
    "There is more than one {m} way through.",
    "Small steps first, and the end is {m}.",
    "Whoever looks around is rewarded; the rest is {m}.",
)
_BEHAVIORS: Final = ("idle", "patrol", "chase", "shoot")


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    """Entities of one role and name."""

    role: str
    noun: str
    number: int
    told: bool
    #: What tells the role where the noun does not: ``guarded by {}``.
    cues: tuple[str, ...] = ()

    @property
    def counted(self) -> str:
        """``two coins``."""
        return f"{NUMBERS[self.number]} {self.noun}{'s' * (self.number > 1)}"


def draft(cast: Cast) -> ExampleDraft:
    """One level: what it should feel like, its name, and entities with coordinates."""
    told = cast.chance(0.75)
    place = cast.words.place(told=told)
    head = clues.place(place) if told else None
    cast.taken.update(place.lower().split())
    name, named = cast.title(
        lambda: cast.pick(
            "{A}", "The {p}", "The {p}", p=place, A=article(place).capitalize() if place.islower() else place
        ),
        0.2,
    )
    if named:
        cast.tell(clues.title(name))
    mood = cast.words.known(MOODS)
    if cast.chance(0.25):
        mood = unlike(lambda: cast.words.mood(told=True), cast.taken)
        cast.tell(clues.mood(mood))
    groups = _groups(cast)
    _tell_groups(cast, [group for group in groups if group.told])
    concept = cast.pick(*_CONCEPTS, m=mood, p=place) + cast.rated()
    cast.avoided()
    title = cast.pick("Level: {n}.", "The level is called {n}.", n=name)
    if place.lower() not in name.lower():
        title += f" It lies in the {place}."
    lines, entities, numbers = [concept, title], [], dict[str, int]()
    grounds: list[tuple[int, int, int]] = []
    for group in groups:
        line, some = _placed(cast, group, grounds, numbers)
        lines.append(line)
        entities += some
    document: dict[str, Any] = {"concept": concept, "scene_name": name, "entities": entities}
    return ExampleDraft(clues=tuple(cast.clues), head=head, prose="\n".join(lines), document=document)


def _groups(cast: Cast) -> list[_Group]:
    rng = cast.rng
    groups = [
        _Group(role="player", noun="player", number=1, told=False),
        _Group(
            role="platform", noun="platform", number=rng.choice((1, 2, 2, 3, 3, 4, 5)), told=cast.chance(0.5)
        ),
    ]
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3))):
        noun = cast.thing(told=True) if cast.chance(0.85) else "coin"
        cast.taken.add(noun)
        number = rng.choice((1, 1, 1, 2, 2, 3, 4)) if countable(noun) else 1
        cues = ("collect {}", "{} to collect", "pick up {}", "collectible: {}") if cast.chance(0.25) else ()
        groups.append(_Group(role="collectible", noun=noun, number=number, told=True, cues=cues))
    if len(groups) == 2 and cast.chance(0.8):
        noun = cast.noun(told=False)
        groups.append(
            _Group(
                role="collectible", noun=noun, number=rng.choice((1, 2)) if countable(noun) else 1, told=False
            )
        )
    groups.sort(key=lambda group: bool(group.cues))
    if cast.chance(0.4):
        told, known = cast.chance(0.7), cast.chance(0.5)
        noun = unlike(
            lambda: cast.words.known(ENEMIES) if known or not told else cast.words.told(NOUNS, 0.8),
            cast.taken,
        )
        cues = (
            ()
            if known
            else (
                "guarded by {}",
                "watch out for {}",
                "enemies: {}",
                "enemy: {}",
                "fight {}",
                "{} as enemies",
            )
        )
        groups.append(
            _Group(
                role="enemy",
                noun=noun,
                number=rng.choice((1, 1, 2)) if countable(noun) else 1,
                told=told,
                cues=cues,
            )
        )
    if cast.chance(0.2):
        noun = unlike(lambda: rng.choice(HAZARDS), cast.taken)
        groups.append(_Group(role="hazard", noun=noun, number=1, told=cast.chance(0.7)))
    if cast.chance(0.3):
        told = cast.chance(0.7)
        cues = ("decorated with {}", "{} in the background", "decoration: {}", "{} for show")
        groups.append(_Group(role="decoration", noun=cast.noun(told=told), number=1, told=told, cues=cues))
    if cast.chance(0.6):
        groups.append(_Group(role="goal", noun="goal", number=1, told=False))
    return groups


def _tell_groups(cast: Cast, groups: list[_Group]) -> None:
    plain = [group for group in groups if not group.cues]
    if cast.style != "fields" and len(plain) > 1 and cast.chance(0.7):
        roles = cast.rng.sample(tuple(_LABELS), len(_LABELS))
        plain.sort(key=lambda group: roles.index(group.role))
        shown = listed([_shown(cast, group) for group in plain])
        cast.tell(_clue(shown, tuple(fact for group in plain for fact in _facts(group)), "contents"))
        plain = []
    elif cast.style == "fields" and cast.chance(0.4):
        required = [group for group in plain if group.role == "collectible" and group.number == 1]
        if required:
            cast.tell(clues.elements([group.noun for group in required]))
        plain = [group for group in plain if group not in required]
    for group in plain:
        cast.tell(_clue(_shown(cast, group), _facts(group), group.role, group))
    for group in groups:
        if group.cues:
            cued = cast.rng.choice(group.cues).format(_shown(cast, group))
            cast.tell(
                Clue(
                    facts=_facts(group),
                    labels=_LABELS[group.role],
                    value=_shown(cast, group),
                    keywords=(cued,),
                    extra=(
                        cued[0].upper() + cued[1:],
                        f"There should be {cued}"
                        if cued.endswith(("collect", "background", "show"))
                        else cued,
                    ),
                )
            )


_LABELS: Final = {
    "collectible": ("collectibles", "collectible", "items", "pickups", "to collect"),
    "enemy": ("enemies", "enemy", "opponents"),
    "hazard": ("hazards", "hazard", "dangers"),
    "decoration": ("decoration", "decorations", "in the background"),
    "platform": ("platforms", "number of platforms"),
    "contents": ("contents",),
}


def _clue(shown: str, facts: tuple[Fact, ...], role: str, group: _Group | None = None) -> Clue:
    value = str(group.number) if group is not None and role == "platform" else shown
    return Clue(
        facts=facts,
        labels=_LABELS[role],
        value=value,
        keywords=(shown,),
        inline=(f"with {shown}", f"with {shown}", f"that has {shown}", f"containing {shown}"),
        extra=(
            f"It has {shown}",
            f"Include {shown}",
            f"I want {shown}",
            f"There must be {shown}",
            f"Put in {shown}",
        ),
    )


def _shown(cast: Cast, group: _Group) -> str:
    if group.role == "hazard":
        return group.noun
    if group.number == 1:
        return cast.rng.choice(
            (article(group.noun), article(group.noun), f"one {group.noun}", f"1 {group.noun}")
        )
    digits = f"{group.number} {group.noun}s"
    return digits if cast.chance(0.4) else group.counted


def _facts(group: _Group) -> tuple[Fact, ...]:
    if group.role == "platform":
        return (Fact(what=What.COUNT, text=group.counted),)
    found = [Fact(what=What.ELEMENT, text=group.noun)]
    if group.number > 1:
        found.append(Fact(what=What.COUNT, text=group.counted))
    return tuple(found)


def _placed(
    cast: Cast, group: _Group, grounds: list[tuple[int, int, int]], numbers: dict[str, int]
) -> tuple[str, list[dict[str, Any]]]:
    """The sentence that places a group, and its entities."""
    rng = cast.rng
    spots, entities = [], []
    width = rng.randrange(4, 20) * _GRID if cast.chance(0.8) else None
    height = rng.choice((20, 20, 30, 40)) if width and cast.chance(0.4) else None
    behavior = rng.choice(_BEHAVIORS) if cast.chance(0.6) else None
    value = rng.choice((1, 5, 10, 20, 50, 100)) if cast.chance(0.25) else None
    facing = rng.choice(("left", "right")) if cast.chance(0.5) else None
    damage = rng.choice((1, 2, 5, 10)) if cast.chance(0.4) else None
    starts = sorted(rng.sample(range(3, 56), group.number)) if group.role == "platform" else []
    for index in range(group.number):
        if group.role == "platform":
            x, y = starts[index] * _GRID, rng.randrange(12, 28) * _GRID
            grounds.append((x, y, width or 160))
        elif grounds:
            left, top, wide = rng.choice(grounds)
            x, y = left + rng.randrange(0, max(1, wide // _GRID)) * _GRID, top - rng.choice((40, 40, 60, 80))
        else:
            x, y = rng.randrange(1, 8) * _GRID, rng.randrange(12, 28) * _GRID
        numbers[group.role] = numbers.get(group.role, 0) + 1
        ident = f"{group.noun if group.role == 'hazard' else group.role}_{numbers[group.role]}"
        spots.append(f"{ident} at {x}, {y}")
        own: dict[str, Any] = {"type": group.role, "id": ident}
        match group.role:
            case "platform":
                own |= {"x": x, "y": y, "width": width, "height": height}
            case "player":
                own |= {"x": x, "y": y, "facing": facing}
            case "collectible":
                own |= {"item": group.noun, "x": x, "y": y, "value": value}
            case "enemy":
                own |= {"species": group.noun, "behavior": behavior, "x": x, "y": y}
            case "hazard":
                own |= {"x": x, "y": y, "damage": damage}
            case "decoration":
                own |= {"looks": group.noun, "x": x, "y": y}
            case _:
                own |= {"x": x, "y": y}
        entities.append({key: item for key, item in own.items() if item is not None})
    where = "; ".join(spots)
    counted = group.counted[0].upper() + group.counted[1:]
    match group.role:
        case "player":
            line = f"The player starts here{_noted(facing=facing)}: {where}."
        case "goal":
            line = f"The goal: {where}."
        case "platform":
            line = f"{counted}{_noted(width=width, height=height)}: {where}."
        case "collectible":
            line = f"{counted} to collect{_noted(value=value)}: {where}."
        case "enemy":
            line = f"{counted} in the way{_noted(behavior=behavior)}: {where}."
        case "hazard":
            line = f"Beware of {group.noun}{_noted(damage=damage)}: {where}."
        case _:
            line = f"{counted} to look at: {where}."
    return line, entities


def _noted(**values: object) -> str:
    """What all entities of a line have, by the names of the fields: `` (width: 120, height: 20)``."""
    told = ", ".join(f"{key}: {value}" for key, value in values.items() if value is not None)
    return f" ({told})" if told else ""
