"""Folder of a model: its window, name, licence and size, and the tokens of a prompt, without torch.

Reads the files beside the weights; what a file does not say is ``None``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from contracts.policy.quoting import replace_surrogates

if TYPE_CHECKING:
    from contracts.ports import Prompt

_LICENCE: Final = re.compile(r"^license:\s*[\"']?([\w.+-]+)", re.MULTILINE)
#: Characters of a README or a licence that are read.
_HEAD: Final = 200_000
#: Window of a model that does not tell one.
_USUAL_WINDOW: Final = 2048


def window_of(folder: Path) -> int | None:
    """Tokens of the model's window; at most those of a sliding window, since the engine's rows do not slide."""
    config = _json(folder / "config.json")
    if config is None:
        return None
    text = config.get("text_config")
    config = cast("dict[str, Any]", text) if isinstance(text, dict) else config
    window = config.get("max_position_embeddings", _USUAL_WINDOW)
    kinds = config.get("layer_types")
    slides = config.get("sliding_window") if kinds is None or "sliding_attention" in kinds else None
    if slides and config.get("use_sliding_window") is False:
        slides = None
    whole = [each for each in (window, slides) if isinstance(each, int) and each > 0]
    return min(whole, default=None)


def title_of(folder: Path) -> str | None:
    """The name that the model was published under."""
    named = (_json(folder / "config.json") or {}).get("_name_or_path")
    return named if isinstance(named, str) and named and not Path(named).is_absolute() else None


def licence_of(folder: Path) -> str | None:
    """The licence that the model's card names, or the first line of its licence."""
    card = _text(folder / "README.md") or ""
    head = card.split("---", 2)
    named = _LICENCE.search(head[1]) if card.startswith("---") and len(head) > 1 else None
    if named is not None:
        return named[1]
    for file in sorted(folder.glob("LICENSE*")):
        lines = [line.strip() for line in (_text(file) or "").splitlines() if line.strip()]
        if lines:
            return lines[0]
    return None


def size_of(folder: Path) -> int | None:
    """Bytes of the weights; ``None`` where there are none."""
    files = list(folder.glob("*.safetensors"))
    return sum(each.stat().st_size for each in files) if files else None


def prompt_counter(folder: Path) -> Callable[[Prompt], int] | None:
    """Counts the tokens of a prompt as the engine sends it; ``None`` where the tokenizer cannot be loaded."""
    tokenizer = _tokenizer(folder / "tokenizer.json")
    if tokenizer is None:
        return None
    template = _template(folder)

    def count(prompt: Prompt) -> int:
        text = replace_surrogates(prompt.compact or prompt.text)
        if template is None:
            return len(tokenizer.encode(text).ids)
        return len(tokenizer.encode(template(text, prompt), add_special_tokens=False).ids)

    return count


@lru_cache(maxsize=8)
def _tokenizer(file: Path) -> Any:
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 - part of the extra
    except ModuleNotFoundError:
        return None
    try:
        return Tokenizer.from_file(str(file))
    # The library raises plain exceptions for files that it cannot read.
    except Exception:  # noqa: BLE001
        return None


def _template(folder: Path) -> Callable[[str, Prompt], str] | None:
    """Renders the model's chat template, as transformers does; ``None`` where it has none."""
    from jinja2 import TemplateError  # noqa: PLC0415 - for a check alone
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415 - as above

    config = _json(folder / "tokenizer_config.json") or {}
    source = _text(folder / "chat_template.jinja") or config.get("chat_template")
    if not isinstance(source, str) or not source:
        return None

    def refuse(message: str) -> str:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    more: dict[str, Any] = {"raise_exception": refuse, "strftime_now": str}
    environment.globals |= more
    try:
        template = environment.from_string(source)
    except TemplateError:
        return None
    special = {name: _special(config.get(name)) for name in ("bos_token", "eos_token", "pad_token")}

    def render(text: str, prompt: Prompt) -> str:
        messages = [{"role": "user", "content": text}]
        return template.render(
            messages=messages, kind=prompt.kind, stage=prompt.stage, add_generation_prompt=True, **special
        )

    return render


def _special(token: Any) -> str:
    content = cast("dict[str, Any]", token).get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def _json(file: Path) -> dict[str, Any] | None:
    try:
        value: Any = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _text(file: Path) -> str | None:
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            return opened.read(_HEAD)
    except OSError:
        return None
