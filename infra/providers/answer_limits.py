"""Answer limits: the longest answer of a small model, by content kind and stage.

A small model that has nothing left to say goes on, and a limit made for large models lets it write for minutes.
A server's model has them where its name says that it is small.  Others have none: a model that reasons spends most
of its tokens before the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from infra.settings.narrative import Defaults

if TYPE_CHECKING:
    from contracts.events import Params
    from contracts.ports import Completion, OnToken, Prompt, Provider

FREEFORM: Final = "freeform-gen"
STRUCTURING: Final = "structuring"
#: Bytes of weights below which a model is small: about a thousand million parameters.
SMALL_BYTES: Final = 2 * 1024**3
#: Bytes of weights below which a model is tiny: some hundred million parameters.
TINY_BYTES: Final = 600 * 1024**2
#: Tokens of a draft and of a document.  The longest golden samples have 593 tokens by the tokenizer of SmolLM2; of
#: 200 documents written by hand the longest has 288, and the house model's longest draft has 270.
_TOKENS: Final[Mapping[str, tuple[int, int]]] = {
    "layout": (300, 800),
    "plot": (400, 800),
    "scene": (400, 800),
    "dialogue": (400, 800),
    "transition": (300, 600),
    "custom": (400, 1000),
}
#: The same of a model that was tuned on this pipeline's tasks: the longest of its 3,499 examples, and a bit more.
_TUNED_TOKENS: Final[Mapping[str, tuple[int, int]]] = {
    "layout": (150, 550),
    "plot": (200, 450),
    "scene": (200, 350),
    "dialogue": (250, 350),
    "transition": (200, 300),
}
#: Documents with at most so many tokens must end by themselves: all of :data:`_TOKENS`.
_SHORT: Final = 1000
#: Parameters below which a model is tiny, and below which it is small.
TINY: Final = 300_000_000
SMALL: Final = 1_100_000_000
_DEFAULTS: Final = Defaults()
_DEFAULT_TOKENS: Final[Mapping[str, int]] = {
    FREEFORM: _DEFAULTS.freeform.max_tokens,
    STRUCTURING: _DEFAULTS.structuring.max_tokens,
}


def small_model_limit(kind: str, stage: str, *, tiny: bool = False, tuned: bool = False) -> int | None:
    """The longest answer of a small model, in tokens; ``None`` for a kind of an extension.

    Args:
        kind: content kind.
        stage: the calling stage.
        tiny: a model that seldom ends by itself: its drafts are half as long.
        tuned: a model that was trained for this.
    """
    tokens = (_TUNED_TOKENS.get(kind) if tuned else None) or _TOKENS.get(kind)
    if tokens is None:
        return None
    draft, document = tokens
    if stage == STRUCTURING:
        return document
    return draft // 2 if tiny and not tuned else draft


def limit_answer(tokens: int, stage: str, limit: int | None) -> int:
    """Tokens that a call may answer with.

    Args:
        tokens: the limit of the call's parameters.  One other than the default was chosen, by the request or by a
            setting, and stays; half the default is that of a draft that is tried again.
        stage: the calling stage.
        limit: the model's own limit.
    """
    default = _DEFAULT_TOKENS.get(stage)
    if limit is None or default is None or tokens not in (default, default // 2):
        return tokens
    return min(tokens, max(1, limit * tokens // default))


def aim_to_end(prompt: Prompt, max_tokens: int, *, parameters: int) -> int | None:
    """Tokens within which a small model's document should end; ``None``: it may use all.

    Args:
        prompt: of the document; a document that is asked for again should be shorter.
        max_tokens: the limit of the call.
        parameters: of the model; a tiny one seldom ends by itself, and one that is not small does.
    """
    if max_tokens > _SHORT or parameters >= SMALL:
        return None
    return max_tokens // (1 + prompt.reask + (parameters < TINY))


class AnswerLimited:
    """A provider whose answers have limits; implements :class:`contracts.ports.Provider`.

    Args:
        provider: what is around the model.
        limits: tokens by content kind and stage.
    """

    def __init__(self, provider: Provider, *, limits: Mapping[tuple[str, str], int]) -> None:
        self.name = provider.name
        self.model = provider.model
        self._provider = provider
        self._limits = limits

    async def generate(
        self,
        prompt: Prompt,
        params: Params,
        schema: Mapping[str, Any] | None = None,
        on_token: OnToken | None = None,
    ) -> Completion:
        """Ask for an answer within the limit; the port's contract."""
        limit = self._limits.get((prompt.kind, prompt.stage))
        tokens = limit_answer(params.max_tokens, prompt.stage, limit)
        if tokens != params.max_tokens:
            params = msgspec.structs.replace(params, max_tokens=tokens)
        return await self._provider.generate(prompt, params, schema, on_token)
