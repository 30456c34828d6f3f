"""Settings of generation: which provider writes which kind, servers, the local model."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, create_model


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelDefaults(_Part):
    """How a stage asks its provider when the request does not say."""

    #: 0 always takes the likeliest word.
    temperature: float = Field(ge=0, le=2)
    #: Share of the likeliest words that are drawn from.
    top_p: float = Field(default=1.0, gt=0, le=1)
    #: Longest answer.
    max_tokens: int = Field(ge=1, le=32_000)
    #: Seconds for one provider call.
    timeout: float = Field(gt=0, le=3600)


class AnswerLimit(_Part):
    """Longest answer of one stage for one kind."""

    #: Tokens; none: that of ``narrative.defaults``.
    max_tokens: int | None = Field(default=None, ge=1, le=32_000)


class KindLimits(_Part):
    """Longest answers for one kind."""

    freeform: AnswerLimit = AnswerLimit()
    structuring: AnswerLimit = AnswerLimit()


class Defaults(_Part):
    """Defaults of the two model stages."""

    #: Longest answers by content kind, such as ``{plot: {structuring: {max_tokens: 2000}}}``.  A small local model
    #: has limits of its own (docs/models.md), which a limit that is set here replaces.
    kinds: dict[str, KindLimits] = {}

    freeform: ModelDefaults = ModelDefaults(temperature=0.8, top_p=0.95, max_tokens=1500, timeout=180)
    structuring: ModelDefaults = ModelDefaults(temperature=0.0, max_tokens=4000, timeout=180)


def _route(value: Any) -> Any:
    """A name, or a chain that names every link once.

    Raises:
        ValueError: for anything else, an empty chain, and one that asks a provider twice.
    """
    if isinstance(value, str):
        return value
    # Before pydantic tries either type: it would name the two as if they were settings.
    chain = tuple(cast("list[Any]", value)) if isinstance(value, list | tuple) else ()
    if not chain or not all(isinstance(name, str) for name in chain) or len(set(chain)) < len(chain):
        raise ValueError(
            "write a provider's name, or a chain that names at least one provider, and each of them once"
        )
    return chain


#: A provider's name, or a chain of names that are asked in turn.
Route = Annotated[str | tuple[str, ...], BeforeValidator(_route)]
#: The route that stands for ``narrative.provider``.
LOCAL: Final = "local"


class Providers(_Part):
    """Which provider writes which kind: local, openai, scripted, a server, an extension, or a chain ``[a, b]``.

    The kind of an installed extension is a field here too (:func:`narrative_with`); helper tasks are no kinds.
    """

    layout: Route = "local"
    plot: Route = "local"
    scene: Route = "local"
    dialogue: Route = "local"
    transition: Route = "local"
    custom: Route = "local"
    #: Who judges documents, see ``narrative.evaluation``; none: nobody does.
    evaluation: Route | None = None
    #: Who rewrites drafts or adds to wishes, see ``narrative.enhancement``; none: nobody does.
    enhancement: Route | None = None


class OpenAIServer(_Part):
    """A server that speaks the OpenAI protocol: llama.cpp, Ollama, vLLM, a hosted one."""

    #: Address of its API; most end in ``/v1``.
    base_url: str = Field(default="http://127.0.0.1:8080/v1", pattern=r"^https?://", repr=False)
    #: API key sent to the server; none: no key is sent.
    api_key: SecretStr | None = None
    #: The model's name on that server; a server without it is not asked.
    model: str | None = None
    #: Seconds for one call, where the call itself allows more.
    timeout: float = Field(default=180.0, gt=0, le=3600)
    #: Tokens of prompt and answer that the server holds for one request.  None: a check asks it, and calls send
    #: what they have.
    window: int | None = Field(default=None, ge=256, le=10_000_000)
    #: Structured output: ``auto`` starts with ``json_schema`` and steps down to what the server takes.
    mode: Literal["auto", "json_schema", "json_object_schema", "json_object", "prompt"] = "auto"
    #: Money for 1,000 prompt tokens, used where the server's answer names no cost.
    price_prompt: float | None = Field(default=None, ge=0)
    #: Money for 1,000 tokens of the answer.
    price_completion: float | None = Field(default=None, ge=0)


class BreakerSettings(_Part):
    """When a provider that keeps failing is left alone; each one has a breaker of its own."""

    #: Failures in a row (no connection, no answer in time, an error of the server) that open it.
    failures: int = Field(default=5, ge=1, le=1000)
    #: Seconds that it stays open before one call tries again; calls that come while it tries wait for its end.
    cooldown: float = Field(default=30.0, gt=0, le=3600)


class ResponseCache(_Part):
    """Answers of providers that are used again for the same prompt, parameters and seed."""

    #: Off: every request asks a provider.
    enabled: bool = True
    #: Answers kept in the process.
    entries: int = Field(default=256, ge=1, le=100_000)
    #: Folder of a second layer that outlives the process; none: no such layer.
    directory: Path | None = None
    #: Bytes that the answers in the folder may take; the longest unused are removed first.
    max_bytes: int = Field(default=256 * 1024**2, ge=64 * 1024)


class EvaluationSettings(_Part):
    """How documents are judged (docs/evaluation.md); off without a provider in ``narrative.providers``."""

    #: A rubric that ships, by its name, or the path of a TOML file.
    rubric: str = Field(default="default", min_length=1)
    #: Seconds for one judgement; less where the deadline is near.
    timeout: float = Field(default=5.0, gt=0, le=600)
    #: Longest answer of the judge, tokens.
    max_tokens: int = Field(default=1500, ge=64, le=32_000)
    #: Share of the requests that are judged, chosen by their ids.
    share: float = Field(default=1.0, ge=0, le=1)
    #: Documents that one process has judged at once; the others are not.
    max_at_once: int = Field(default=8, ge=1, le=10_000)


class EnhancementSettings(_Part):
    """What is rewritten before a document is made of it (docs/evaluation.md); off without a provider."""

    #: ``draft``: the draft is rewritten.  ``wish``: the wish gets more words, and keeps its own.
    of: Literal["draft", "wish"] = "draft"
    #: Seconds for one rewriting; less where the deadline is near.
    timeout: float = Field(default=10.0, gt=0, le=600)
    #: Longest answer, tokens.
    max_tokens: int = Field(default=1500, ge=64, le=32_000)
    #: Text file with what the model is told; none: the instructions that ship.
    instructions: Path | None = None


class Narrative(_Part):
    """Routing and defaults of generation."""

    #: Provider of every kind whose route is ``local``: one setting for one model.  A kind that stays local beside it
    #: has the route ``[local]``.
    provider: Route = "local"
    #: More servers like ``narrative.openai``, by the name that routes use.
    servers: dict[str, OpenAIServer] = {}
    providers: Providers = Providers()
    openai: OpenAIServer = OpenAIServer()
    breaker: BreakerSettings = BreakerSettings()
    response_cache: ResponseCache = ResponseCache()
    defaults: Defaults = Defaults()
    evaluation: EvaluationSettings = EvaluationSettings()
    enhancement: EnhancementSettings = EnhancementSettings()


class Local(_Part):
    """The model on this machine."""

    #: ``house`` (ships with the package), a folder with safetensors, or a hub id.
    model: str = "house"
    #: ``auto``: a GPU if there is one; else ``cpu``, ``cuda`` or ``cuda:N``.
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    #: ``auto``: bfloat16 where the device multiplies it, else float32.
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    #: Requests that are written at once.
    rows: int = Field(default=16, ge=1, le=512)
    #: Tokens of prompt and answer together; at most the model's own window.
    max_len: int = Field(default=2048, ge=16, le=1_000_000)
    #: Requests that may wait beside those.
    queue: int = Field(default=256, ge=1, le=100_000)
    #: The same bits whatever else is being written; costs nearly half under load, 70 % when alone.
    strict: bool = False
    #: Threads of torch; none: what torch chooses.
    threads: int | None = Field(default=None, ge=1, le=1024)


class Gguf(_Part):
    """A GGUF file on this machine, run by llama.cpp."""

    #: Path of a ``.gguf`` file, or ``demo``: SmolLM2-135M-Instruct with this repository's adapter.
    model: str = "demo"
    #: Paths of LoRA adapters (``.gguf``) that change the model.
    adapters: tuple[Path, ...] = ()
    #: Requests that are written at once.
    rows: int = Field(default=4, ge=1, le=128)
    #: Tokens of prompt and answer together, for each request.
    max_len: int = Field(default=4096, ge=256, le=1_000_000)
    #: Threads; none: one for each core.
    threads: int | None = Field(default=None, ge=1, le=1024)
    #: Layers on a GPU, for a build of xllamacpp that has one; -1: as many as it holds.
    gpu_layers: int = Field(default=0, ge=-1, le=10_000)


@lru_cache(maxsize=16)
def narrative_with(providers: tuple[tuple[str, str], ...]) -> type[Narrative]:
    """The settings of generation with more kinds in ``providers``.

    Args:
        providers: name and default provider of each kind of an extension.
    """
    if not providers:
        return Narrative
    fields: dict[str, Any] = {kind: (Route, default) for kind, default in providers}
    more = create_model("Providers", __base__=Providers, **fields)
    return create_model("Narrative", __base__=Narrative, providers=(more, more()))
