"""Detokenisation: text from tokens, up to a stop word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

#: A decoder's replacement for incomplete characters.
_INCOMPLETE: Final = "\ufffd"

Decode = Callable[[Sequence[int]], str]


class Detokenizer:
    """Turns tokens into text piece by piece.

    Holds back incomplete characters and possible beginnings of a stop text.

    Args:
        decode: of a tokenizer.
        stop: texts before which the answer ends.
    """

    def __init__(self, decode: Decode, stop: tuple[str, ...] = ()) -> None:
        self._decode = decode
        self._stop = stop
        self._held = max((len(text) for text in stop), default=1) - 1
        self._tokens: list[int] = []
        #: Tokens before this are text already; those from ``_context`` are decoded along with new ones.
        self._context = 0
        self._done = 0
        self._told = 0
        self.text = ""
        self.stopped = False

    def add(self, tokens: Sequence[int]) -> str:
        """Add tokens; the text that became final."""
        self._tokens.extend(tokens)
        before = self._decode(self._tokens[self._context : self._done])
        now = self._decode(self._tokens[self._context :])
        if now.endswith(_INCOMPLETE) or len(now) <= len(before):
            return ""
        self.text += now[len(before) :]
        self._context, self._done = self._done, len(self._tokens)
        return self._tell(self._held)

    def end(self) -> str:
        """End the text; what was held back."""
        if not self.stopped and self._done < len(self._tokens):
            before = self._decode(self._tokens[self._context : self._done])
            self.text += self._decode(self._tokens[self._context :])[len(before) :]
            self._done = len(self._tokens)
        return self._tell(0)

    def _tell(self, held: int) -> str:
        # A stop text may begin in the text that was held back.
        start = max(0, self._told - self._held)
        found = [at for text in self._stop if (at := self.text.find(text, start)) >= 0]
        if found:
            self.text = self.text[: min(found)]
            self.stopped = True
            held = 0
        new = self.text[self._told : len(self.text) - held]
        self._told += len(new)
        return new
