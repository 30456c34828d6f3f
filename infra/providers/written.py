"""What does a streamed chat completion say in the end?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from contracts.result import Tokens

if TYPE_CHECKING:
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletionChunk

#: Characters after which an answer is cut, whatever the server makes of ``max_tokens``.
MAX_TEXT: Final = 400_000


class Written:
    """An answer that grows with every chunk."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self._usage: CompletionUsage | None = None
        #: The server's name of the model that answered; ``None`` where it did not say.
        self.model: str | None = None
        #: The server has begun an answer, if only by saying whose turn it is.
        self.begun = False
        #: There was anything at all in the stream.
        self.heard = False
        #: ``None`` until the server has said that it is done.
        self.finish_reason: str | None = None
        #: Characters that a reasoning model thought aloud; they are no answer.
        self.reasoning = 0

    @property
    def text(self) -> str:
        """What was written so far."""
        return "".join(self._parts)

    @property
    def full(self) -> bool:
        """Whether no more is taken."""
        return self._size >= MAX_TEXT

    @property
    def tokens(self) -> Tokens:
        """The server's own count."""
        if self._usage is None:
            return Tokens()
        return Tokens(prompt=self._usage.prompt_tokens, completion=self._usage.completion_tokens)

    def add(self, chunk: ChatCompletionChunk) -> str:
        """Take a chunk in; the text that it adds, empty where it adds none."""
        self.heard = True
        self.model = chunk.model or self.model
        self._usage = chunk.usage or self._usage
        piece = ""
        for choice in chunk.choices[:1]:
            self.begun = True
            piece = choice.delta.content or ""
            extra: dict[str, Any] = choice.delta.model_extra or {}
            thought = extra.get("reasoning_content") or extra.get("reasoning")
            self.reasoning += len(thought) if isinstance(thought, str) else 0
            self.finish_reason = choice.finish_reason or self.finish_reason
        self._parts.append(piece)
        self._size += len(piece)
        return piece

    def amount(self, price_prompt: float | None, price_completion: float | None) -> float | None:
        """What it cost: the server's own figure, else by price, else ``None``.

        Args:
            price_prompt: money for 1,000 prompt tokens.
            price_completion: money for 1,000 tokens of the answer.

        Source: ``usage.cost`` is OpenRouter's field; the protocol itself has none.
        """
        if self._usage is None:
            return None
        told: Any = (self._usage.model_extra or {}).get("cost")
        if isinstance(told, int | float) and not isinstance(told, bool) and told >= 0:
            return float(told)
        if price_prompt is None and price_completion is None:
            return None
        return (
            self._usage.prompt_tokens * (price_prompt or 0.0)
            + self._usage.completion_tokens * (price_completion or 0.0)
        ) / 1000
