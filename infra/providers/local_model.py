"""Model of the local provider: where it is, what is known of it, and its window."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from infra.engine.files import Unloadable, weights
from infra.host import extras
from infra.providers import model_folder as files
from infra.providers.answer_limits import SMALL_BYTES, TINY_BYTES, small_model_limit
from infra.providers.request_mapping import TEMPLATE_TOKENS, estimate_tokens
from infra.providers.spec import ContextWindow, ModelInfo

if TYPE_CHECKING:
    from contracts.ports import Prompt
    from infra.settings.narrative import Local
    from infra.settings.settings import Settings

#: The model that ships with the package.
HOUSE: Final = "house"
_FOLDER: Final = Path(__file__).resolve().parents[1] / "lab/house_model/weights"
_MAX_LEN: Final = "UNDERSTUDY_LOCAL__MAX_LEN"
#: Modules of the extra ``local``.
_MODULES: Final = ("torch", "transformers", "accelerate", "llguidance")


def model_folder(settings: Local) -> str:
    """Where the model is: a folder, or a hub id."""
    return str(_FOLDER) if settings.model == HOUSE else settings.model


def window(settings: Settings, name: str) -> ContextWindow | None:
    """The model's window, as far as ``local.max_len`` allows; ``None`` for a hub id that is not on this machine."""
    del name
    local = settings.local
    folder = _on_disk(local)
    own = folder and files.window_of(folder)
    if folder is None or own is None:
        return None
    count = files.prompt_counter(folder)
    return ContextWindow(
        tokens=min(own, local.max_len),
        count=count or _estimate,
        estimated=count is None,
        fix=partial(_fix, own),
    )


def answer_limit(settings: Settings, name: str, kind: str, stage: str) -> int | None:
    """That of small models, if it is one."""
    del name
    folder = _on_disk(settings.local)
    size = folder and files.size_of(folder)
    if not size or size >= SMALL_BYTES:
        return None
    tiny = size < TINY_BYTES and settings.local.model != HOUSE
    return small_model_limit(kind, stage, tiny=tiny)


def describe(settings: Settings, name: str) -> ModelInfo:
    """What the model's files say."""
    del name
    local = settings.local
    folder = _on_disk(local)
    house = local.model == HOUSE
    if folder is None:
        return ModelInfo(model=local.model, place=f"hub: {local.model}", problem=_hub_problem(local.model))
    return ModelInfo(
        model=local.model,
        place=str(folder),
        title="the house model of this repository" if house else files.title_of(folder),
        licence="that of this repository" if house else files.licence_of(folder),
        size_bytes=files.size_of(folder),
        window=files.window_of(folder),
        schemas="grammar",
        problem=_problem(folder),
    )


def _on_disk(local: Local) -> Path | None:
    """The model's folder, if it is a folder or was downloaded from the hub before."""
    place = model_folder(local)
    folder = Path(place)
    if folder.is_dir():
        return folder
    if place.count("/") != 1 or folder.is_absolute() or find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - for a hub id alone

    cached = try_to_load_from_cache(place, "config.json")
    return Path(cached).parent if isinstance(cached, str) else None


def _problem(folder: Path) -> str | None:
    missing = [each for each in _MODULES if find_spec(each) is None]
    if missing:
        return f"not installed: {', '.join(missing)}: {extras.install_command('local')}"
    try:
        weights(folder)
    except Unloadable as error:
        return str(error)
    return None


def _hub_problem(model: str) -> str | None:
    if model.count("/") == 1 and not Path(model).is_absolute():
        return None
    return f"the model folder {model} does not exist; set UNDERSTUDY_LOCAL__MODEL"


def _fix(own: int, needed: int) -> str:
    if needed <= own:
        return f"set {_MAX_LEN} to at least {needed}"
    return (
        f"choose a model whose window holds {needed} tokens (UNDERSTUDY_LOCAL__MODEL): this one holds {own}"
    )


def _estimate(prompt: Prompt) -> int:
    return estimate_tokens(prompt.compact or prompt.text) + TEMPLATE_TOKENS
