"""Probe: whether a server of the OpenAI protocol answers, and whether it knows the model."""

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
#: Bytes of a list of models; some gateways have hundreds.
_MAX_LIST: Final = 4 * 1024**2
#: Models that are named for people.
_MAX_NAMED: Final = 6


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a server said."""

    detail: str
    #: What to do; empty where nothing is to be done.
    fix: str = ""


async def probe(where: tuple[OpenAIServer, str]) -> ProbeResult:
    """Ask a server for its models, for a few seconds at most; no model is called.

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
            request = asking.stream("GET", address(server.base_url, "models"), timeout=_PATIENCE_S)
            async with request as response:
                status, body = response.status_code, await streaming.whole(response, _MAX_LIST)
    except (httpx2.HTTPError, TimeoutError) as error:
        why = asked.clean(str(error)) or type(error).__name__
        return ProbeResult(
            detail=f"{place} does not answer: {why}",
            fix=f"start the server, or set {variable}__BASE_URL",
        )
    if status in {401, 403}:
        return ProbeResult(
            detail=f"{place} answers {status}: {asked.clean(http_errors.words(body))}",
            fix=f"set {variable}__API_KEY to a key that it takes",
        )
    known = _models(body)
    if not known:
        # Not every server has the list.
        return ProbeResult(detail=f"{place} answers; which models it has, it does not say ({status})")
    if model not in known and f"{model}:latest" not in known:
        named = ", ".join(known[:_MAX_NAMED]) + (", …" if len(known) > _MAX_NAMED else "")
        return ProbeResult(
            detail=f"{place} does not list the model {model!r}; it lists: {asked.clean(named)}",
            fix=f"set {variable}__MODEL to one of them, if calls fail",
        )
    return ProbeResult(detail=f"{place} answers and knows the model {model!r}")


def _models(body: Any) -> list[str]:
    """The ids in an answer to ``GET /models``, whatever else it is."""
    data = cast("dict[str, Any]", body).get("data") if isinstance(body, dict) else None
    listed = cast("list[Any]", data) if isinstance(data, list) else []
    ids = (cast("dict[str, Any]", each).get("id") for each in listed if isinstance(each, dict))
    return [each for each in ids if isinstance(each, str)]
