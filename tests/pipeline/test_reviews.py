"""Reviews in a running pipeline: a reviewed good result stands in when the model fails, a bad one never does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from contracts.ownership import PurgeScope, ScopeKind
from contracts.result import Origin, Status
from contracts.reviews import ReviewMode, ReviewScore
from infra.app.review_desk import ReviewDesk
from infra.app.review_promotion import PromotedResult, PromotionRefused, promote
from infra.inspect.request_filter import RequestFilter
from infra.nats.multiplexer import RequestMultiplexer
from infra.providers.scripted_text import document
from infra.purge.purge import Purged, purge
from infra.settings.settings import Settings
from infra.stores import database
from tests.pipeline.conftest import Configure, Observer, Start
from tests.providers.openai_server import Asked, FakeServer, Reply, answer, refusal
from tests.reviewing import SAMPLES

TAGS = ["harvest"]


def review(settings: Settings, scores: dict[str, int]) -> None:
    engine = database.engine_of(settings.database)
    desk = ReviewDesk(engine, "anna")
    for request_id, score in scores.items():
        found = desk.next(RequestFilter(request_id=request_id), ReviewMode.SINGLE, now_ms=1)
        assert found.item is not None
        desk.decide(found.item.item, [ReviewScore(score=score)], keeps_words=True, now_ms=2)
    engine.dispose()


def promoted(settings: Settings, request_id: str) -> PromotedResult:
    engine = database.engine_of(settings.database)
    try:
        return promote(engine, settings, request_id, name="harvest")
    finally:
        engine.dispose()


async def purged(client: Observer, settings: Settings, request_id: str, *, dry_run: bool = False) -> Purged:
    wire = RequestMultiplexer()
    await wire.open(client.nc)
    engine = database.engine_of(settings.database)
    scope = PurgeScope(kind=ScopeKind.ID, value=request_id)
    try:
        return await purge(wire, engine, scope, samples=settings.sample_folders, dry_run=dry_run)
    finally:
        engine.dispose()


async def test_a_reviewed_good_result_stands_in_and_a_bad_one_never_does(
    client: Observer, configure: Configure, start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "samples"
    folder.mkdir()
    for name in ("sample_layout_drawbridge.json", "sample_layout_drawbridge.toml"):
        shutil.copy(SAMPLES / name, folder)
    written = [
        json.dumps(document("layout", f"<<<\n{what}\n>>>\n", "k", None)) for what in ("a mill", "an inn")
    ]

    def good(asked: Asked) -> Reply:
        prose = json.dumps(asked.body)
        if "response_format" in asked.body:
            return answer(written["inn" in prose])
        return answer("An inn with coins." if "an inn" in prose else "A mill with coins.")

    async with FakeServer(good) as server:
        settings = configure(
            rules=[],
            SAMPLES_DIR=str(folder),
            NARRATIVE__OPENAI__BASE_URL=server.url,
            NARRATIVE__OPENAI__MODEL="m1",
            NARRATIVE__PROVIDERS__LAYOUT="openai",
        )
        async with start(settings):
            mill = await client.ask("mill", prompt="a mill", tags=TAGS)
            inn = await client.ask("inn", prompt="an inn", tags=TAGS)
            await client.settled()
    assert (mill.origin, inn.origin) == (Origin.LIVE, Origin.LIVE)
    assert mill.content != inn.content
    with pytest.raises(PromotionRefused, match="nobody has scored it"):
        promoted(settings, "mill")
    review(settings, {"mill": 5, "inn": 1})
    with pytest.raises(PromotionRefused, match=r"its mean score is 1\.00"):
        promoted(settings, "inn")
    done = promoted(settings, "mill")
    assert done.tags == tuple(TAGS)
    async with FakeServer(lambda _: refusal("wrong key", status=401)) as down:
        settings = configure(NARRATIVE__OPENAI__BASE_URL=down.url)
        async with start(settings):
            late = [await client.ask(f"late-{n}", prompt=f"a barn {n}", tags=TAGS) for n in range(3)]
            await client.settled()
    for each in late:
        assert (each.status, each.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
        assert each.stand_in is not None
        assert (each.stand_in.name, each.stand_in.hash) == ("sample_harvest.json", mill.content_hash)
        assert each.content == mill.content
    with pytest.raises(PromotionRefused, match="no content of a model"):
        promoted(settings, "late-0")
    counted, gone = (
        await purged(client, settings, "mill", dry_run=True),
        await purged(client, settings, "inn"),
    )
    assert (counted.samples, counted.removed["reviews"]) == (("sample_harvest.json",), 1)
    # Neither its sample nor anybody else's review goes.
    assert (gone.samples, gone.removed["reviews"], gone.unread_samples) == ((), 1, ())
    assert (folder / "sample_harvest.json").exists()
    assert (await purged(client, settings, "mill", dry_run=True)).removed["reviews"] == 1
