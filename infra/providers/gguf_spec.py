"""GGUF models in the table of providers.

Imports without the extra ``gguf``; the provider itself needs it.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from infra.engine.files import Unloadable
from infra.host import extras
from infra.providers import local, tuned
from infra.providers.answer_limits import TINY_BYTES, small_model_limit
from infra.providers.gguf_files import model_of
from infra.providers.gguf_metadata import read_metadata
from infra.providers.request_mapping import TEMPLATE_TOKENS, estimate_tokens
from infra.providers.spec import ContextWindow, ModelInfo, ProviderSpec, SchemaLimit

if TYPE_CHECKING:
    from contracts.ports import Prompt, Provider
    from infra.settings.settings import Settings

#: Bytes of a file below which its model is small: about a thousand million parameters in 4 to 8 bits.
_SMALL_BYTES: Final = 1024**3
#: Modules of the extra.
NEEDS: Final = ("xllamacpp", "httpx2", "llguidance")


def _make(settings: Settings, name: str) -> Provider:
    del name
    from infra.providers.gguf import GgufProvider  # noqa: PLC0415 - needs the extra

    return GgufProvider(settings.gguf, model_of(settings.gguf))


def _problem(settings: Settings, name: str) -> str | None:
    missing = next((each for each in NEEDS if find_spec(each) is None), None)
    if missing is not None:
        return f"provider {name!r} needs {missing}: {extras.install_command('gguf')}"
    try:
        model_of(settings.gguf).check()
    except Unloadable as error:
        return str(error)
    return None


def _identity(settings: Settings, name: str) -> str:
    try:
        return f"{name}:{model_of(settings.gguf).name}"
    except Unloadable:
        return f"{name}:{settings.gguf.model}"


def _window(settings: Settings, name: str) -> ContextWindow | None:
    """What ``gguf.max_len`` allows of the model's window; prompts are estimated."""
    del name
    try:
        model = model_of(settings.gguf)
    except Unloadable:
        return None
    own = read_metadata(model.file).window
    tokens = settings.gguf.max_len if own is None else min(own, settings.gguf.max_len)
    return ContextWindow(
        tokens=tokens, count=_count_tuned if model.tuned else _count, estimated=True, fix=partial(_fix, own)
    )


def _count(prompt: Prompt) -> int:
    return estimate_tokens(prompt.compact or prompt.text) + TEMPLATE_TOKENS


def _count_tuned(prompt: Prompt) -> int:
    """The short messages of a tuned model; a wish and a draft come on top."""
    messages = tuned.document_messages(prompt.kind, "", "", prompt.schema)
    return estimate_tokens("".join(each["content"] for each in messages)) + TEMPLATE_TOKENS


def _fix(own: int | None, needed: int) -> str:
    if own is None or needed <= own:
        return f"set UNDERSTUDY_GGUF__MAX_LEN to at least {needed}"
    return f"choose a model whose window holds {needed} tokens (UNDERSTUDY_GGUF__MODEL): this one holds {own}"


def _answer_limit(settings: Settings, name: str, kind: str, stage: str) -> int | None:
    del name
    try:
        model = model_of(settings.gguf)
        size = model.file.stat().st_size
    except (Unloadable, OSError):
        return None
    if size >= _SMALL_BYTES:
        return None
    return small_model_limit(kind, stage, tiny=size < TINY_BYTES, tuned=model.tuned)


def _describe(settings: Settings, name: str) -> ModelInfo:
    del name
    try:
        model = model_of(settings.gguf)
    except Unloadable as error:
        return ModelInfo(model=settings.gguf.model, place="", problem=str(error))
    said = read_metadata(model.file)
    files = (model.file, *model.adapters)
    return ModelInfo(
        model=settings.gguf.model,
        place=" + ".join(map(str, files)),
        title=said.title,
        licence=said.licence,
        size_bytes=sum(each.stat().st_size for each in files if each.is_file()) or None,
        window=said.window,
        schemas="grammar",
        problem=next((found for each in files if (found := read_metadata(each).problem)), None),
    )


def _schema_limit(settings: Settings, name: str) -> SchemaLimit | None:
    """The local provider's: both use the same grammars, and llama.cpp ignores one that it cannot compile."""
    return local.SPEC.schema_limit(settings, name)


def _helper_problem(settings: Settings, name: str) -> str | None:
    del name
    try:
        tuned_model = model_of(settings.gguf).tuned
    except Unloadable:
        return None
    if not tuned_model:
        return None
    return (
        "its model was tuned to write documents, and gets no other instructions; choose a server, or another "
        "model (UNDERSTUDY_GGUF__MODEL)"
    )


SPEC: Final = ProviderSpec(
    make=_make,
    problem=_problem,
    identity=_identity,
    schema_limit=_schema_limit,
    helper_problem=_helper_problem,
    window=_window,
    answer_limit=_answer_limit,
    describe=_describe,
)
