"""Synthetic dialogues."""

# ruff: noqa: C901, PLR0912, PLR0915 - a grammar is one long list of draws and their shares

from __future__ import annotations

from typing import Any, Final

from infra.lab.house_model import clues
from infra.lab.house_model.example import Cast, ExampleDraft, said
from infra.lab.house_model.words import MOODS, NOUNS, NUMBERS, unlike

_PURPOSES: Final = (
    "{A} stops pretending.",
    "{A} learns that {b} knew all along.",
    "{A} and {b} find out that they want the same.",
    "{A} loses the trust of {b}.",
    "{A} makes peace with what happened.",
    "{A} gets less than was promised.",
    "{A} tells the truth at last.",
    "{A} sees that it is too late.",
    "{A} and {b} part as friends.",
    "{A} wins time, and pays for it.",
)
_ALONE: Final = (
    "{A} stops pretending.",
    "{A} finally says it aloud.",
    "{A} sees that it is too late.",
    "{A} makes up a story and begins to believe it.",
)
_SETTINGS: Final = (
    "They stand in the {p}.",
    "The {p} is almost empty.",
    "It is late in the {p}.",
    "They meet in the {p}, by chance.",
    "In the {p} it is too quiet.",
    "Rain falls on the {p}.",
    "The {p} closes in an hour.",
)
_WANTS: Final = (
    "to be believed",
    "to get the {n} back",
    "to leave before dark",
    "to be asked to stay",
    "to hear an apology",
    "to sell the {n}",
    "to keep a secret",
    "to know the reason",
    "to end this quickly",
    "to find out about the {n}",
)
_VOICES: Final = (
    "Speaks slowly and plainly.",
    "Never finishes a sentence.",
    "Jokes when it hurts.",
    "Sounds older than the face.",
    "Whispers.",
    "Talks too much.",
    "Chooses every word.",
)
_ABOUT: Final = (
    "I came about the {t}.",
    "You never told me about the {t}.",
    "The {t} is not yours to give.",
    "Where did you find the {t}?",
    "I would give anything for the {t}.",
    "Everybody talks about the {t}.",
    "Do you still have the {t}?",
    "The {t} was here when I left.",
    "Take the {t} and go.",
    "I have not slept since the {t}.",
    "It was never about the {t}.",
    "Nobody else has seen the {t}.",
    "What would you do with the {t}?",
    "Without the {t} we are lost.",
    "I hid the {t} where you would look.",
    "The {t} belongs to the sea.",
)
_FREE: Final = (
    "I thought you would say that.",
    "Then we have nothing to talk about.",
    "You should have asked me first.",
    "Not here. Somebody could hear us.",
    "I waited the whole winter.",
    "Say it again, and look at me.",
    "That is not how I remember it.",
    "Maybe you are right.",
    "I only wanted to help.",
    "Ask me tomorrow.",
    "You are late.",
    "Nobody is coming.",
    "It costs more than you think.",
    "Promise me one thing.",
    "I know what I saw.",
    "Then let us begin.",
    "There is no time for that.",
    "You have not changed at all.",
    "I forgive you. That is the worst of it.",
    "Good. Keep it that way.",
    "Why did you come back?",
    "Because you asked me to.",
    "Leave the light on.",
    "I will not lie for you again.",
)
_ACTIONS: Final = (
    "Looks away.",
    "Takes a step back.",
    "Smiles for the first time.",
    "Closes the door.",
    "Turns the {n} over.",
    "Sits down.",
    "Does not move.",
    "Holds out a hand.",
    "Counts the coins again.",
)
_CHOICES: Final = (
    "Tell the truth.",
    "Change the subject.",
    "Ask about the {n}.",
    "Say nothing.",
    "Walk away.",
    "Make a promise.",
    "Laugh.",
    "Offer the {n}.",
)


def draft(cast: Cast) -> ExampleDraft:
    """One conversation: who speaks, about what, line by line."""
    rng = cast.rng
    number = rng.choice((1, 2, 2, 2, 2, 2, 3))
    told = cast.chance(0.75)
    names = [cast.person(told=told) for _ in range(number)]
    if told:
        cast.tell(
            clues.people(
                names,
                ("talks to", "argues with", "asks", "confronts", "apologises to", "bargains with", "lies to"),
            )
        )
    topics: list[str] = []
    if cast.chance(0.65):
        topics = [cast.thing(told=True)]
        cast.tell(clues.topic(topics[0]))
    place = cast.words.place(told=False)
    placed = cast.chance(0.3)
    if placed:
        place = unlike(lambda: cast.words.place(told=True), cast.taken)
        cast.tell(clues.place(place))
    mood = cast.words.known(MOODS)
    mooded = cast.chance(0.3)
    if mooded:
        mood = unlike(lambda: cast.words.mood(told=True), cast.taken)
        cast.tell(clues.mood(mood))
    wanted = cast.elements(rng.choice((0, 0, 0, 1, 1, 2)))
    if wanted:
        cast.tell(clues.elements(wanted))
    topics += wanted
    lines_number = max(rng.choice((2, 3, 3, 4, 4, 5)), len(topics))
    counted = cast.chance(0.3)
    if counted:
        cast.tell(clues.count(cast.words, lines_number, "line"))
    topic = topics[0] if topics else cast.words.known(NOUNS)
    noun = lambda: cast.free(topics)  # noqa: E731 - a draw
    title, named = cast.title(
        lambda: cast.pick("About the {t}", "The {t}", "Where the {t} is", "A word about the {t}", t=topic),
        0.12,
    )
    if named:
        cast.tell(clues.title(title))
    other = names[-1]
    purpose = cast.pick(*(_PURPOSES if number > 1 else _ALONE), A=said(names[0]), b=other) + cast.rated()
    cast.avoided()
    document: dict[str, Any] = {"purpose": purpose, "title": title}
    prose = [purpose, f"Title: {title}."]
    if placed or cast.chance(0.4):
        document["setting"] = cast.pick(*_SETTINGS, p=place)
        prose.append(f"Setting: {document['setting']}")
    speakers: list[dict[str, Any]] = []
    for name in names:
        speaker: dict[str, Any] = {"name": name}
        about_them = f"{said(name)} speaks."
        wants = cast.chance(0.6)
        if cast.chance(0.25):
            speaker["voice"] = cast.pick(*_VOICES)
        if wants:
            speaker["wants"] = cast.pick(*_WANTS, n=noun())
            about_them = f"{said(name)} wants {speaker['wants']}."
        speakers.append(speaker)
        prose.append(about_them + (f" Voice: {speaker['voice']}" if "voice" in speaker else ""))
    document["speakers"] = speakers
    if counted:
        prose.append(f"{NUMBERS[lines_number].capitalize()} line{'s' * (lines_number > 1)}.")
    spoken: list[dict[str, Any]] = []
    about = rng.sample(_ABOUT, lines_number)
    free = rng.sample(_FREE, lines_number)
    for index in range(lines_number):
        text = free[index]
        if index < len(topics):
            text = about[index].format(t=topics[index])
        elif topics and cast.chance(0.15):
            text = about[index].format(t=rng.choice(topics))
        emotion = mood if mooded and not index else cast.words.known(MOODS) if cast.chance(0.6) else ""
        line: dict[str, Any] = {"speaker": names[index % number]}
        if emotion:
            line["emotion"] = emotion
        line["text"] = text
        shown = f"{index + 1}. {names[index % number]}{f' ({emotion})' if emotion else ''}: {text}"
        if cast.chance(0.2):
            line["action"] = cast.pick(*_ACTIONS, n=noun())
            shown += f" [{line['action']}]"
        if index == lines_number - 1 and cast.chance(0.2):
            options = [cast.pick(choice, n=noun()) for choice in rng.sample(_CHOICES, 2)]
            line["choices"] = [{"text": option} for option in options]
            shown += f" Answers: {' / '.join(options)}"
        spoken.append(line)
        prose.append(shown)
    document["lines"] = spoken
    return ExampleDraft(clues=tuple(cast.clues), prose="\n".join(prose), document=document)
