"""Synthetic scenes."""

# ruff: noqa: C901, PLR0912, PLR0915 - a grammar is one long list of draws and their shares

from __future__ import annotations

from typing import Any, Final

from infra.lab.house_model import clues
from infra.lab.house_model.clues import Clue, Fact, What
from infra.lab.house_model.example import Cast, ExampleDraft, said
from infra.lab.house_model.words import MOODS, NUMBERS, PLACES, TIMES, article, unlike

PURPOSES: Final = (
    "Somebody has to say what everybody knows.",
    "The player learns whom to trust.",
    "A small lie becomes a large one.",
    "What was lost is found in the wrong hands.",
    "The player must choose before there is time to think.",
    "It shows what the place was like before.",
    "An old promise comes due.",
    "The first crack in the plan can be seen.",
    "Let two people be quiet together.",
    "The price of yesterday is paid here.",
    "It gives the player a reason to stay.",
    "A stranger turns out to know too much.",
)
_DETAILS: Final = (
    "{A} stands where nobody would put one.",
    "There is {a} by the wall.",
    "Near the door lies {a}.",
    "The light falls on {a}.",
    "In the middle of it all: {a}.",
    "Everyone can see {a} and nobody mentions it.",
    "{A} has been here longer than the people.",
    "Under the window there is {a}.",
    "Somebody has hidden {a} badly.",
    "It smells of smoke, and there is {a}.",
)
_GOALS: Final = (
    "to find the {n}",
    "to get away unseen",
    "to hear the truth",
    "to be forgiven",
    "to win some time",
    "to open the {n}",
    "to sell the {n}",
    "to keep the {n} hidden",
    "to go home before dark",
    "to know who was here",
    "to send the others away",
    "to be believed",
)
_OBSTACLES: Final = (
    "Nobody will listen.",
    "The door is locked.",
    "There is not enough time.",
    "Somebody is watching.",
    "The {n} is missing.",
    "It would hurt a friend.",
    "The way back is closed.",
)
_ACTIONS: Final = (
    "{N} picks up the {e}.",
    "{N} looks at the {e} for a long time.",
    "{N} puts the {e} on the table.",
    "{N} asks about the {e}.",
    "{N} hides the {e}.",
    "{N} finds the {e} in the dark.",
    "{N} breaks the {e} by accident.",
    "{N} gives the {e} away.",
    "{N} follows the sound to the {e}.",
    "{N} will not touch the {e}.",
)
_EMPTY: Final = (
    "The {e} falls over.",
    "Wind moves the {e}.",
    "The {e} begins to shake.",
    "Something scratches at the {e}.",
    "The {e} is gone.",
    "Water drips on the {e}.",
)
_EFFECTS: Final = (
    "Now there is no way back.",
    "The room goes quiet.",
    "Somebody laughs.",
    "It is too late to pretend.",
    "The others step back.",
    "A light comes on outside.",
    "Nobody saw it.",
    "It changes how they look at each other.",
    "The floor gives way a little.",
    "The sound carries far.",
)
_NARRATIONS: Final = (
    "You come to the {p} at the wrong moment.",
    "The {p} is quieter than you remember.",
    "It takes a while until you see who is there.",
    "You have been told not to come here.",
    "The {p} looks smaller at this hour.",
    "Somebody has left the door open for you.",
    "You hear them before you see them.",
)
_OUTCOMES: Final = (
    "They leave together.",
    "Nobody has what they came for.",
    "One of them knows the truth now.",
    "The {n} has changed hands.",
    "The way on is open.",
    "The plan has failed, but they are alive.",
    "A promise is made.",
    "They will not meet here again.",
)
_LABELS: Final = (
    "Open the door",
    "Ask for the truth",
    "Walk away",
    "Wait until morning",
    "Take the {n}",
    "Follow the sound",
    "Say nothing",
    "Call for help",
)
_NEXT: Final = ("The {p}", "The road to the {p}", "What the {n} means", "Later, at the {p}")


def draft(cast: Cast) -> ExampleDraft:
    """One scene: where, who wants what, what happens."""
    rng = cast.rng
    told = cast.chance(0.65)
    place = cast.words.place(told=told)
    cast.taken.update(place.lower().split())
    head = clues.place(place) if told else None
    names = _people(cast)
    mood = unlike(lambda: cast.words.known(MOODS), cast.taken)
    if cast.chance(0.4):
        mood = unlike(lambda: cast.words.mood(told=True), cast.taken)
        cast.tell(clues.mood(mood))
    time = rng.choice(TIMES) if cast.chance(0.6) else ""
    if time and cast.chance(0.5):
        cast.tell(_time(time))
    pacing = rng.choice(("slow", "medium", "fast")) if cast.chance(0.5) else ""
    if pacing and cast.chance(0.5):
        cast.tell(clues.pacing(pacing))
    wanted = cast.elements(rng.choice((0, 1, 1, 2, 2, 3)))
    if wanted:
        cast.tell(clues.elements(wanted))
    number = rng.choice((1, 2, 2, 3, 4))
    counted = cast.chance(0.2)
    if counted:
        cast.tell(clues.count(cast.words, number, "moment"))
    noun = lambda: cast.free(wanted)  # noqa: E731 - a draw
    title, named = cast.title(
        lambda: cast.pick("At the {p}", "The {n}", "The {p}, {t}", p=place, n=noun(), t=time or "later"),
        0.15,
    )
    if named:
        cast.tell(clues.title(title))
    purpose = cast.pick(*PURPOSES) + cast.rated()
    cast.avoided()
    setting: dict[str, Any] = {"place": place} | ({"time": time} if time else {})
    details = [_detail(cast, word) for word in wanted] or (
        [_detail(cast, noun())] if cast.chance(0.3) else []
    )
    if details:
        setting["details"] = details
    lines = [purpose, f"Title: {title}.", f"Place: {place}.{f' Time: {time}.' if time else ''}"]
    lines += [" ".join(details)] * bool(details)
    lines.append(f"Mood: {mood}.{f' Pacing: {pacing}.' if pacing else ''}")
    document: dict[str, Any] = {"purpose": purpose, "title": title, "setting": setting, "mood": mood} | (
        {"pacing": pacing} if pacing else {}
    )
    roles: list[dict[str, Any]] = []
    for name in names:
        goal = cast.pick(*_GOALS, n=noun())
        role = {"name": name, "goal": goal}
        line = f"{said(name)} wants {goal}."
        if cast.chance(0.3):
            role["obstacle"] = cast.pick(*_OBSTACLES, n=noun())
            line += f" But: {role['obstacle']}"
        roles.append(role)
        lines.append(line)
    if roles:
        document["characters"] = roles
    document["moments"] = []
    if counted:
        lines.append(f"{NUMBERS[number].capitalize()} moment{'s' * (number > 1)}.")
    for index in range(number):
        word = noun()
        action = (
            cast.pick(*_ACTIONS, N=said(rng.choice(names)), e=word) if names else cast.pick(*_EMPTY, e=word)
        )
        moment = {"action": action}
        if cast.chance(0.5):
            moment["effect"] = cast.pick(*_EFFECTS)
        document["moments"].append(moment)
        lines.append(f"{index + 1}. {' '.join(moment.values())}")
    document["narration"] = cast.pick(*_NARRATIONS, p=place)
    document["outcome"] = cast.pick(*_OUTCOMES, n=noun())
    lines += [f"Narration: {document['narration']}", f"In the end: {document['outcome']}"]
    if cast.chance(0.35):
        document["exits"] = []
        for index in range(rng.choice((1, 2, 2))):
            label, onward = (
                cast.pick(*_LABELS, n=noun()),
                cast.pick(*_NEXT, n=noun(), p=cast.words.known(PLACES)),
            )
            document["exits"].append({"id": f"way_{index + 1}", "label": label, "leads_to": onward})
            lines.append(f"Way {index + 1}: {label}, to: {onward}.")
    return ExampleDraft(clues=tuple(cast.clues), head=head, prose="\n".join(lines), document=document)


def _people(cast: Cast) -> list[str]:
    number = cast.rng.choice((0, 1, 1, 2, 2, 2, 3))
    if not number:
        return []
    told = cast.chance(0.75)
    names = [cast.person(told=told) for _ in range(number)]
    if told:
        verbs = (
            "meets",
            "waits for",
            "argues with",
            "follows",
            "finds",
            "says goodbye to",
            "runs into",
            "has a secret from",
        )
        cast.tell(clues.people(names, verbs))
    return names


def _detail(cast: Cast, word: str) -> str:
    thing = f"the {word}" if "_" in word else article(word)
    return cast.pick(*_DETAILS, a=thing, A=thing[0].upper() + thing[1:])


def _time(text: str) -> Clue:
    return Clue(
        facts=(Fact(what=What.DETAIL, text=text),),
        labels=("time", "when", "time of day"),
        value=text,
        keywords=(text, f"time {text}"),
        inline=(f"at {text}", f"during {text}"),
        extra=(f"The time is {text}", f"It happens at {text}", f"Time: {text}"),
    )
