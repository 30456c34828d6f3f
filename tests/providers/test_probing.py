"""What does the doctor hear from a server before anybody asks a model?"""

from __future__ import annotations

import pytest

from infra.providers.probing import probe
from infra.settings.narrative import OpenAIServer
from tests.providers.openai_server import FakeServer, Raw, Said

WHERE = "UNDERSTUDY_NARRATIVE__OPENAI"


def listed(*names: str) -> Said:
    return Said(status=200, body={"object": "list", "data": [{"id": name} for name in names]})


@pytest.mark.parametrize(
    ("reply", "detail", "fix"),
    [
        (listed("m", "n"), "answers and knows the model 'm'", ""),
        (listed("m:latest"), "answers and knows the model 'm'", ""),
        (listed("n", "o"), "does not list the model 'm'; it lists: n, o", f"set {WHERE}__MODEL"),
        (
            Said(status=401, body={"error": {"message": "bad key"}}),
            "answers 401: bad key",
            f"set {WHERE}__API_KEY",
        ),
        (Said(status=404, body={}), "which models it has, it does not say (404)", ""),
        (Said(status=200, body={"data": [1, None, {"id": 2}]}), "it does not say (200)", ""),
        (Raw(body=b"<html>", content_type="text/html"), "it does not say (200)", ""),
    ],
)
async def test_a_server_is_asked_for_its_models(reply, detail: str, fix: str) -> None:
    async with FakeServer(lambda _: reply) as server:
        found = await probe((OpenAIServer(base_url=server.url, model="m"), WHERE))
    assert detail in found.detail
    assert found.fix.startswith(fix)
    assert bool(found.fix) == bool(fix)


async def test_a_server_that_is_not_there_is_told() -> None:
    async with FakeServer(lambda _: listed()) as server:
        pass
    found = await probe((OpenAIServer(base_url=server.url, model="m"), WHERE))
    assert f"{server.url} does not answer" in found.detail
    assert found.fix == f"start the server, or set {WHERE}__BASE_URL"
