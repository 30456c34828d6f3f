"""Probe: whether a server of the OpenAI protocol answers, whether it knows the model, and what its window is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

import httpx2
import msgspec

from infra.providers import http_errors, streaming
from infra.providers.openai import address, client, key_of, shown

if TYPE_CHECKING:
    from infra.settings.narrative import OpenAIServer

#: Seconds for all of it.
_PATIENCE_S: Final = 4.0
#: Seconds for what a server need not have.
_MORE_S: Final = 2.0
#: Bytes of a list of models; some gateways have hundreds.
_MAX_LIST: Final = 4 * 1024**2
#: Windows beyond this are no windows.
_MAX_WINDOW: Final = 100_000_000
_FOUND: Final = 200
#: Statuses of a server that takes no request with this key.
_REFUSED: Final = (401, 403)
#: Models that are named for people.
_MAX_NAMED: Final = 6


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a server said."""

    detail: str
    #: What to do; empty where nothing is to be done.
    fix: str = ""
    #: It answered.
    reached: bool = True
    #: Tokens of prompt and answer that it holds for one request; ``None``: it does not tell.
    window: int | None = None
    #: The model is in memory; ``None``: it does not tell.
    loaded: bool | None = None


async def probe(where: tuple[OpenAIServer, str]) -> ProbeResult:
    """Ask a server for its models and its window, for a few seconds at most; no model is called.

    Args:
        where: the server's settings, and the prefix of the variables that hold them.
    """
    server, variable = where
    model, place = server.model or "", shown(server.base_url)
    asked = http_errors.CalledServer(
        name="it", base_url=place, model=model, variable=variable, key=key_of(server) or None
    )
    try:
        async with asyncio.timeout(_PATIENCE_S), client(server) as asking:
            status, body = await _get(asking, address(server.base_url, "models"))
            more = {} if status in _REFUSED else await _more(asking, server, body)
    except (httpx2.HTTPError, TimeoutError) as error:
        why = asked.clean(str(error)) or type(error).__name__
        return ProbeResult(
            detail=f"{place} does not answer: {why}",
            fix=f"start the server, or set {variable}__BASE_URL",
            reached=False,
        )
    if status in _REFUSED:
        return ProbeResult(
            detail=f"{place} answers {status}: {asked.clean(http_errors.words(body))}",
            fix=f"set {variable}__API_KEY to a key that it takes",
            reached=False,
        )
    known = [each for each in (entry.get("id") for entry in _entries(body, "data")) if isinstance(each, str)]
    if not known:
        # Not every server has the list.
        return ProbeResult(detail=f"{place} answers; which models it has, it does not say ({status})", **more)
    if model not in known and f"{model}:latest" not in known:
        named = ", ".join(known[:_MAX_NAMED]) + (", …" if len(known) > _MAX_NAMED else "")
        return ProbeResult(
            detail=f"{place} does not list the model {model!r}; it lists: {asked.clean(named)}",
            fix=f"set {variable}__MODEL to one of them, if calls fail",
            **more,
        )
    return ProbeResult(detail=f"{place} answers and knows the model {model!r}", **more)


async def _more(asking: httpx2.AsyncClient, server: OpenAIServer, listed: Any) -> dict[str, Any]:
    """Window and state of the model, from the server's own interface; what it does not have is left out.

    vLLM lists ``max_model_len``; llama.cpp has ``/props``, whose ``n_ctx`` is that of one request; Ollama has
    ``/api/ps``, with the models in memory and their ``context_length``.
    """
    try:
        async with asyncio.timeout(_MORE_S):
            return await _own_interface(asking, server, listed)
    except (httpx2.HTTPError, TimeoutError):
        return {}


async def _own_interface(asking: httpx2.AsyncClient, server: OpenAIServer, listed: Any) -> dict[str, Any]:
    for entry in _entries(listed, "data"):
        if entry.get("id") == server.model and _whole(entry.get("max_model_len")):
            return {"window": entry["max_model_len"], "loaded": True}
    root = server.base_url.rstrip("/").removesuffix("/v1")
    props = _fields(await _answer(asking, root, "props"))
    tokens = _fields(props.get("default_generation_settings")).get("n_ctx") or props.get("n_ctx")
    if _whole(tokens):
        return {"window": tokens, "loaded": True}
    running = await _answer(asking, root, "api/ps")
    if not isinstance(_fields(running).get("models"), list):
        return {}
    for entry in _entries(running, "models"):
        if entry.get("name") in (server.model, f"{server.model}:latest"):
            tokens = entry.get("context_length")
            return {"loaded": True} | ({"window": tokens} if _whole(tokens) else {})
    return {"loaded": False}


async def _answer(asking: httpx2.AsyncClient, root: str, path: str) -> Any:
    """An answer in JSON; ``None`` where the server has no such path."""
    status, body = await _get(asking, address(root, path))
    return body if status == _FOUND else None


async def _get(asking: httpx2.AsyncClient, url: httpx2.URL) -> tuple[int, Any]:
    async with asking.stream("GET", url, timeout=_PATIENCE_S) as response:
        return response.status_code, await streaming.whole(response, _MAX_LIST)


def _entries(body: Any, name: str) -> list[dict[str, Any]]:
    """The objects of a list in an answer, whatever else it is."""
    listed: Any = _fields(body).get(name)
    return [_fields(each) for each in cast("list[Any]", listed)] if isinstance(listed, list) else []


def _fields(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _whole(value: Any) -> bool:
    """Whether a value can be a window; a server's answer may be anything."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MAX_WINDOW
