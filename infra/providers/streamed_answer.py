"""Streamed answer: the text, ending and usage that the chunks of a chat completion add up to.

A server is not trusted: each field of a chunk may be missing, null or of another type.  A missing or null field
is ignored; a field that carries text and cannot be read is an error, since the answer would have a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from contracts.policy.quoting import replace_surrogates
from infra.providers.reasoning import Thoughts, without_lost

#: Characters after which an answer is cut, whatever the server makes of ``max_tokens``.
MAX_TEXT: Final = 400_000
#: Characters of a model's name that are kept.
_MAX_NAME: Final = 200
#: Characters of a refusal that are kept.
_MAX_REFUSAL: Final = 2_000
#: Fields in which servers put reasoning; only the first that is there counts.
_REASONING: Final = ("reasoning_content", "reasoning", "thinking")
#: Parts of a content that are text of the answer.
_TEXTS: Final = frozenset({"text", "output_text"})


class StreamedAnswer:
    """An answer that grows with every chunk."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self._thoughts = Thoughts()
        self._lost = 0
        #: The first half of a character that the server has cut in two.
        self._half = ""
        self._told = 0
        self._refusal: list[str] = []
        self._index: int | None = None
        #: Whatever the server says of tokens and cost.
        self.usage: Any = None
        #: The server's name of the model that answered; ``None`` where it did not say.
        self.model: str | None = None
        #: The server has begun an answer, if only by saying whose turn it is.
        self.begun = False
        #: There was anything at all in the stream.
        self.heard = False
        #: The server's own word; ``None`` until it has said that it is done.
        self.finish_reason: str | None = None
        #: The model asked for a tool, though it was offered none.
        self.tools = False

    @property
    def text(self) -> str:
        """What was written so far."""
        return "".join(self._parts)

    @property
    def full(self) -> bool:
        """Whether no more is taken."""
        return self._size >= MAX_TEXT

    @property
    def wrote(self) -> bool:
        """Whether the model has written anything, if only for itself."""
        return bool(self._size or self._told or self._refusal)

    @property
    def reasoning(self) -> int:
        """Characters that a reasoning model thought aloud; they are no answer."""
        return self._told + self._thoughts.hidden + self._lost

    @property
    def refusal(self) -> str:
        """The words with which the model refused; empty where it did not."""
        return "".join(self._refusal)[:_MAX_REFUSAL].strip()

    def add(self, chunk: Any) -> str:
        """Take a chunk in; the text that it adds, empty where it adds none.

        Raises:
            ValueError: it cannot be read.
        """
        self.heard = True
        fields = _object(chunk, "a chunk") or {}
        model = fields.get("model")
        if isinstance(model, str) and model.strip():
            self.model = replace_surrogates(" ".join(model[:_MAX_NAME].split()))
        usage = fields.get("usage")
        self.usage = self.usage if usage is None else usage
        choice = self._choice(fields.get("choices"))
        if choice is None:
            return ""
        self.begun = True
        self._ends(choice.get("finish_reason"))
        # A server that does not stream answers with a message.
        delta = _object(choice.get("delta"), "a delta") or _object(choice.get("message"), "a message") or {}
        return self._take(delta)

    def end(self) -> str:
        """No more comes; the text that was kept back."""
        piece = self._thoughts.add(replace_surrogates(self._half)) + self._thoughts.end()
        self._half = ""
        self._parts.append(piece)
        if not self._thoughts.seen:
            text = self.text
            left = without_lost(text)
            self._lost = len(text) - len(left)
            self._parts = [left]
        return piece

    def _choice(self, choices: Any) -> Mapping[str, Any] | None:
        """The choice that is followed: one was asked for, and it is the first one heard of."""
        if choices is None:
            return None
        if not isinstance(choices, list):
            raise ValueError(f"choices is {_kind(choices)} and no list")  # noqa: TRY004 - one error for all that cannot be read
        for each in cast("list[Any]", choices):
            choice = _object(each, "a choice")
            if choice is None:
                continue
            index = choice.get("index")
            if type(index) is not int:
                return choice
            self._index = index if self._index is None else self._index
            if index == self._index:
                return choice
        return None

    def _ends(self, word: Any) -> None:
        if isinstance(word, str):
            self.finish_reason = word.strip()[:_MAX_NAME] or self.finish_reason
        elif word is not None and word is not False:
            self.finish_reason = f"unknown ({_kind(word)})"

    def _take(self, delta: Mapping[str, Any]) -> str:
        for name in _REASONING:
            if delta.get(name):
                self._told += _length(delta[name])
                break
        self._refuses(delta.get("refusal"))
        self.tools = self.tools or bool(delta.get("tool_calls") or delta.get("function_call"))
        raw = self._content(delta.get("content"))
        if not raw:
            return ""
        self._size += len(raw)
        piece = self._thoughts.add(self._whole(raw))
        self._parts.append(piece)
        return piece

    def _content(self, content: Any) -> str:
        """The text of a content: a text, or parts, of which those that are no text are reasoning."""
        match content:
            case None:
                return ""
            case str():
                return content
            case list():
                return "".join(self._part(each) for each in cast("list[Any]", content))
            case dict():
                return self._part(cast("dict[str, Any]", content))
            case _:
                raise ValueError(f"content is {_kind(content)} and no text")

    def _part(self, part: Any) -> str:
        if part is None or isinstance(part, str):
            return part or ""
        found = _object(part, "a part of a content") or {}
        kind = found.get("type", "text")
        if kind == "refusal":
            self._refuses(found.get("refusal"))
            return ""
        if isinstance(kind, str) and kind not in _TEXTS:
            self._told += _length(found)
            return ""
        text = found.get("text")
        # As in the older protocol with threads.
        text = cast("dict[str, Any]", text).get("value") if isinstance(text, dict) else text
        if text is None or isinstance(text, str):
            return text or ""
        raise ValueError(f"the text of a content is {_kind(text)}")

    def _refuses(self, words: Any) -> None:
        if isinstance(words, str) and sum(map(len, self._refusal)) < _MAX_REFUSAL:
            self._refusal.append(replace_surrogates(words[:_MAX_REFUSAL]))

    def _whole(self, piece: str) -> str:
        """The piece with whole characters: some servers cut between two halves of one."""
        if piece.isascii() and not self._half:
            return piece
        piece, self._half = self._half + piece, ""
        if "\ud800" <= piece[-1] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        try:
            piece.encode()
        except UnicodeEncodeError:
            joined = piece.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
            return replace_surrogates(joined)
        return piece


def _object(value: Any, what: str) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {_kind(value)} and no object")  # noqa: TRY004 - one error for all that cannot be read
    return cast("dict[str, Any]", value)


def _kind(value: Any) -> str:
    """The type of a JSON value, for people; its content is the server's and is not shown."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def _length(value: Any, levels: int = 4) -> int:
    """Characters of all texts in a value that says how a model thought."""
    match value:
        case str():
            return len(value)
        case list() if levels:
            return sum(_length(each, levels - 1) for each in cast("list[Any]", value))
        case dict() if levels:
            inner = cast("dict[str, Any]", value).items()
            return sum(_length(each, levels - 1) for name, each in inner if name != "type")
        case _:
            return 0
