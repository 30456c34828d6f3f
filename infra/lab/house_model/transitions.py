"""Synthetic transitions."""

# ruff: noqa: C901, PLR0915 - a grammar is one long list of draws and their shares

from __future__ import annotations

from typing import Any, Final

from infra.lab.house_model import clues
from infra.lab.house_model.clues import Clue, Fact, What
from infra.lab.house_model.example import Cast, ExampleDraft
from infra.lab.house_model.words import PLACES, article, unlike

_PURPOSES: Final = (
    "The player should feel that {f} was only half of it.",
    "What was {f} must not be forgotten.",
    "Leave the {f} part behind without a word.",
    "The player learns what the quiet was for.",
    "Let the {f} moment end before anybody is ready.",
    "Carry one image into the next scene.",
    "Make the {t} part feel earned.",
    "It turns the {f} pause into something {t}.",
    "Nobody says it, but everything is {t} now.",
    "Give the player one breath and no more.",
)
_TEXTS: Final = (
    "The {e} is the last thing that anybody looks at.",
    "Somebody has left the {e} where it can be seen.",
    "The {e} comes back, nearer this time.",
    "For a moment there is only the {e}.",
    "Then the {e}, and nobody moves.",
    "The {e} fills the frame and stays.",
    "The {e} is there before anybody expects it.",
    "Behind them the {e} begins again.",
    "The {e} cuts through what was being said.",
    "All that is left of the evening is the {e}.",
)
_FREE: Final = (
    "The light in the {p} goes out.",
    "Rain starts on the roof of the {p}.",
    "A door closes somewhere in the {p}.",
    "The street outside the {p} is empty.",
    "Footsteps cross the {p} and stop.",
    "The music from the {p} breaks off.",
    "The camera leaves the {p} and does not look back.",
    "In the {p} somebody counts to ten.",
)
_STEPS: Final = (
    "It holds the {f} feeling for as long as it can.",
    "It lets the outside in.",
    "It makes the memory cost something.",
    "It turns the {f} feeling over.",
    "It opens the way for what is {t}.",
    "It takes away the last excuse.",
    "It brings the {t} mood into the room.",
    "It says that there is no way back.",
    "It slows everything down once more.",
    "It shows what the next scene is about.",
)
_NARRATIONS: Final = (
    "What was {f} a moment ago is {t} now.",
    "The {f} hour is over, and the {t} one begins.",
    "Nobody noticed when it stopped being {f}.",
    "It had been {f}; it would not be again.",
    "First it was {f}, and then it was {t}.",
    "The {f} part ends here, the {t} part is already running.",
)
_SOUNDS: Final = (
    "A low hum that grows.",
    "Wind, then nothing.",
    "One note, held too long.",
    "Wheels on wet stone.",
    "A clock, a little too fast.",
    "Breathing, close by.",
)
_IMAGES: Final = (
    "An empty {p} from above.",
    "The {p}, seen through a window.",
    "A hand on a door in the {p}.",
    "The {p} in the first light.",
    "Two shadows in the {p}.",
)


def draft(cast: Cast) -> ExampleDraft:
    """One bridge between two moods."""
    rng = cast.rng
    told = cast.chance(0.75)
    before = unlike(lambda: cast.words.mood(told=told), cast.taken)
    after = unlike(lambda: cast.words.mood(told=told), cast.taken)
    if told:
        cast.tell(_moods(before, after))
    pacing, kind = rng.choice(("slow", "medium", "fast")), rng.choice(("gradual", "abrupt"))
    if cast.chance(0.4):
        cast.tell(clues.pacing(pacing))
    if cast.chance(0.35):
        cast.tell(_kind(kind))
    seconds = rng.choice((*range(2, 21), *range(20, 91, 5), *range(100, 241, 20)))
    if cast.chance(0.45):
        cast.tell(_duration(cast, seconds))
    wanted = cast.elements(rng.choice((0, 1, 1, 2, 2, 3)), tags=0.5)
    if wanted:
        cast.tell(clues.elements(wanted))
    title, named = cast.title(lambda: "", 0.12)
    if named:
        cast.tell(clues.title(title))
    values = {"f": before, "t": after}
    purpose = cast.pick(*_PURPOSES, **values) + cast.rated()
    cast.avoided()
    lines = [purpose, f"From {before} to {after}, {pacing} pacing, {kind}, {seconds} seconds."]
    document: dict[str, Any] = {
        "purpose": purpose,
        "mood_from": before,
        "mood_to": after,
        "pacing": pacing,
        "transition_type": kind,
        "duration_s": seconds,
    }
    if title:
        lines.append(f"Title: {title}.")
        document["title"] = title
    if wanted:
        lines.append(f"Elements: {', '.join(wanted)}.")
        document["elements"] = wanted
    beats: list[dict[str, Any]] = []
    number = max(1, min(3, len(wanted) + rng.choice((0, 0, 1)), rng.choice((1, 2, 2, 3))))
    texts = rng.sample(_TEXTS, 3)
    timed = cast.chance(0.4)
    for index in range(number):
        text = texts[index].format(e=wanted[index]) if index < len(wanted) else _free(cast, wanted)
        why = cast.pick(*_STEPS, **values)
        at = seconds * index // number
        lines.append(f"{index + 1}. {f'At {at} s: ' if timed else ''}{why} {text}")
        beats.append({"purpose": why, "text": text} | ({"at_s": at} if timed else {}))
    narration = cast.pick(*_NARRATIONS, **values)
    if cast.chance(0.4):
        narration += f" {_free(cast, wanted)}"
    lines.append(f"Narration: {narration}")
    document |= {"beats": beats, "text": narration}
    if cast.chance(0.3):
        document["sound"] = cast.pick(*_SOUNDS)
        lines.append(f"Sound: {document['sound']}")
    if cast.chance(0.3):
        document["image"] = cast.pick(*_IMAGES, p=cast.words.known(PLACES))
        lines.append(f"Image: {document['image']}")
    return ExampleDraft(clues=tuple(cast.clues), prose="\n".join(lines), document=document)


def _free(cast: Cast, wanted: list[str]) -> str:
    if cast.chance(0.5):
        return cast.pick(*_TEXTS, e=cast.free(wanted))
    return cast.pick(*_FREE, p=cast.words.known(PLACES))


def _moods(before: str, after: str) -> Clue:
    return Clue(
        facts=(Fact(what=What.DETAIL, text=f"from {before} to {after}"),),
        labels=("mood", "moods", "style", "mood change"),
        value=f"{before} to {after}",
        keywords=(
            f"{before} to {after}",
            f"from {before} to {after}",
            f"{before} -> {after}",
            f"mood from {before}, mood to {after}",
        ),
        inline=(
            f"from {before} to {after}",
            f"from {before} to {after}",
            f"that goes from {before} to {after}",
            f"from {article(before)} scene to {article(after)} one",
            f"between {article(before)} mood and {article(after)} mood",
        ),
        extra=(
            f"It goes from {before} to {after}",
            f"The mood changes from {before} to {after}",
            f"It starts {before} and ends {after}",
        ),
        split=(
            (("mood from", "moodFrom", "mood_from", "style.moodFrom", "from", "mood from"), before),
            (("mood to", "moodTo", "mood_to", "style.moodTo", "to", "mood to"), after),
        ),
    )


def _kind(word: str) -> Clue:
    return Clue(
        facts=(Fact(what=What.DETAIL, text=word),),
        labels=("transition type", "transitionType", "transition", "change"),
        value=word,
        keywords=(word, f"{word} change"),
        inline=(f"in {article(word)} way", f"with {article(word)} change"),
        extra=(f"It should be {word}", f"The change is {word}", f"Transition type: {word}"),
    )


def _duration(cast: Cast, seconds: int) -> Clue:
    longer = seconds + cast.rng.choice((5, 10, 20))
    shorter = max(1, seconds - cast.rng.choice((1, 5, 10)))
    values = [
        str(seconds),
        f"{seconds} s",
        f"{seconds} seconds",
        f"{shorter}-{longer}, target {seconds}",
        f"{seconds}s",
        f"min {shorter}, max {longer}, target {seconds}",
    ]
    return Clue(
        facts=(Fact(what=What.COUNT, text=f"{seconds} seconds"),),
        labels=("duration", "duration_s", "length", "duration in seconds", "seconds"),
        value=cast.rng.choice(values),
        keywords=(f"{seconds} seconds", f"{seconds} s", f"{seconds}s"),
        inline=(
            f"over {seconds} seconds",
            f"in {seconds} seconds",
            f"of {seconds} seconds",
            f"lasting {seconds} seconds",
        ),
        extra=(
            f"It takes {seconds} seconds",
            f"Make it {seconds} seconds long",
            f"It should last {seconds} seconds",
            f"Duration: {seconds} seconds",
        ),
    )
