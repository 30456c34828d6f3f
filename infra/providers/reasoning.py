"""Reasoning: the part of an answer between a model's own marks, where a server leaves them in the text.

Only at the start of an answer: a story may contain the words of a mark.
"""

from __future__ import annotations

import re
from typing import Final

#: What reasoning begins and ends with, by the models that write it.
_PAIRS: Final = (
    # Qwen, DeepSeek, MiniMax, GLM and many more.
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reason>", "</reason>"),
    ("<reasoning>", "</reasoning>"),
    ("<reflection>", "</reflection>"),
    ("<scratchpad>", "</scratchpad>"),
    # Magistral.
    ("[THINK]", "[/THINK]"),
    # Kimi.
    ("◁think▷", "◁/think▷"),
    # Seed-OSS.
    ("<seed:think>", "</seed:think>"),
    # Command A.
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    # Gemma.
    ("<|channel>thought", "<channel|>"),
)
_OPENS: Final = tuple(
    (re.compile(re.escape(first), re.IGNORECASE), re.compile(re.escape(last), re.IGNORECASE))
    for first, last in _PAIRS
)
_FIRSTS: Final = tuple(first.lower() for first, _ in _PAIRS)
#: The header of a message of gpt-oss; source: OpenAI's "harmony response format".
_MESSAGE: Final = re.compile(
    r"(?:<\|start\|>assistant[^<]*)?<\|channel\|>\s*(?P<channel>\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
)
_MESSAGE_FIRSTS: Final = ("<|start|>assistant", "<|channel|>")
_MESSAGE_ENDS: Final = re.compile(r"<\|(?:end|return|call)\|>")
_ENDS_BEGUN: Final = frozenset(
    mark[:size] for mark in ("<|end|>", "<|return|>", "<|call|>") for size in range(1, len(mark))
)
#: The same with its marks decoded to nothing, as some servers do.
_BARE: Final = re.compile(r"analysis(?=[A-Z])")
_BARE_ENDS: Final = re.compile(r"assistantfinal")
_LASTS: Final = "|".join(
    re.escape(last) for _, last in _PAIRS if last.startswith(("</", "[/", "◁/", "<|END"))
)
#: The end of reasoning whose beginning stood in the prompt: no text comes before it or after it in its line.
_ORPHAN: Final = re.compile(rf"(?:{_LASTS})(?=[ \t]*(?:\r?\n|$))|(?<=\n)(?:{_LASTS})", re.IGNORECASE)
#: The same in its line, after the end of a sentence.
_ORPHAN_WITHIN: Final = re.compile(rf"(?<=[.!?…])(?:{_LASTS})", re.IGNORECASE)
#: A document begins: its texts may have the words of a mark in them.
_DOCUMENT: Final = re.compile(r"\s*[{\[]\s*[\"{\[\]}]")
_FIRST: Final = re.compile("|".join(re.escape(first) for first, _ in _PAIRS), re.IGNORECASE)
#: No beginning or end of reasoning is longer, a header of gpt-oss aside.
_LONGEST: Final = max(len(mark) for pair in _PAIRS for mark in pair) + 1
#: Characters that are kept back at most while it is not clear whether reasoning begins.
_UNDECIDED: Final = 512


class Thoughts:
    """Takes reasoning out of a text that comes in pieces."""

    def __init__(self) -> None:
        #: Characters of reasoning so far.
        self.hidden = 0
        #: There was some, if only its marks.
        self.seen = False
        #: The beginning of a possible mark.
        self._held = ""
        #: Ends the reasoning at hand; ``None`` outside of it.
        self._close: re.Pattern[str] | None = None
        #: The answer has begun, and what ends it, if anything does.
        self._answering = False
        self._answer_ends: re.Pattern[str] | None = None

    def add(self, piece: str) -> str:
        """Take a piece in; what it adds to the answer."""
        if self._answering and self._answer_ends is None:
            return piece
        self._held += piece
        shown: list[str] = []
        while self._step(shown):
            pass
        return "".join(shown)

    def end(self) -> str:
        """No more comes; what was kept back and is part of the answer."""
        held, self._held = self._held, ""
        begun = not self._answering and held.lstrip().startswith(_MESSAGE_FIRSTS)
        if self._close is not None or begun:
            self.seen = True
            self.hidden += len(held)
            return ""
        return held

    def _step(self, shown: list[str]) -> bool:
        """Read one mark, or the text before it; whether there may be more to read."""
        if self._close is not None:
            return self._think(self._close)
        if self._answering:
            return self._answer(shown)
        return self._start(shown)

    def _think(self, close: re.Pattern[str]) -> bool:
        found = close.search(self._held)
        if found is None:
            kept = min(len(self._held), _LONGEST)
            self.hidden += len(self._held) - kept
            self._held = self._held[len(self._held) - kept :]
            return False
        self.hidden += found.start()
        self._held = self._held[found.end() :]
        self._close = None
        self._answering = close is _BARE_ENDS
        return bool(self._held)

    def _answer(self, shown: list[str]) -> bool:
        if self._answer_ends is None:
            shown.append(self._held)
            self._held = ""
            return False
        found = self._answer_ends.search(self._held)
        if found is not None:
            shown.append(self._held[: found.start()])
            self._held = self._held[found.end() :]
            self._answering = False
            return bool(self._held)
        # Its end may have begun.
        sizes = range(min(len(self._held), _LONGEST), 0, -1)
        kept = next((size for size in sizes if self._held[-size:] in _ENDS_BEGUN), 0)
        cut = len(self._held) - kept
        shown.append(self._held[:cut])
        self._held = self._held[cut:]
        return False

    def _start(self, shown: list[str]) -> bool:
        text = self._held.lstrip("\ufeff \t\r\n")
        for first, last in _OPENS:
            found = first.match(text)
            if found is not None:
                self._held, self._close, self.seen = text[found.end() :], last, True
                return True
        message = _MESSAGE.match(text)
        if message is not None:
            self._held, self.seen = text[message.end() :], True
            if message["channel"] == "final":
                self._answering, self._answer_ends = True, _MESSAGE_ENDS
            else:
                self._close = _MESSAGE_ENDS
            return True
        if _BARE.match(text):
            self._held, self._close, self.seen = text[len("analysis") :], _BARE_ENDS, True
            return True
        if self._undecided(text):
            return False
        # White space after reasoning belongs to neither.
        self._held = text if self.seen else self._held
        self._answering, self._answer_ends = True, None
        return self._answer(shown)

    def _undecided(self, text: str) -> bool:
        if len(self._held) > _UNDECIDED:
            return False
        low = text.lower()
        return any(
            first.startswith(low) for first in (*_FIRSTS, *_MESSAGE_FIRSTS, "analysis")
        ) or low.startswith(_MESSAGE_FIRSTS)


def without_lost(text: str) -> str:
    """The text after reasoning whose beginning is not in it: some templates put it into the prompt."""
    found = _ORPHAN.search(text)
    if found is None and not _DOCUMENT.match(text):
        found = _ORPHAN_WITHIN.search(text)
    if found is None or _FIRST.search(text, 0, found.start()):
        return text
    return text[found.end() :].lstrip()


def answer(text: str) -> tuple[str, int]:
    """A whole text without its reasoning, and how many characters that had."""
    thoughts = Thoughts()
    shown = thoughts.add(text) + thoughts.end()
    if thoughts.seen:
        return shown, thoughts.hidden
    left = without_lost(shown)
    return left, len(shown) - len(left)
