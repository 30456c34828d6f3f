"""Promotion: a good result becomes a pair of files that passes the check; nothing else ever does."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from infra.app import review_promotion
from infra.app.review_candidates import find_candidates
from infra.app.review_promotion import PromotedResult, PromotionRefused
from infra.settings.settings import Settings, load
from infra.stores import sample_files, samples
from infra.stores.samples import PromotedFrom, Sidecar
from tests.reviewing import EVERYTHING, SAMPLES, dialogue, record, score_next, store
from tests.unit.access_fixtures import empty, engine

__all__ = ["empty", "engine"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one sample of its own."""
    made = tmp_path / "samples"
    made.mkdir()
    for name in ("sample_dialogue_airlock.json", "sample_dialogue_airlock.toml"):
        shutil.copy(SAMPLES / name, made)
    return made


def settings_of(folder: Path, **review: Any) -> Settings:
    return load(samples_dir=folder, review=review)


def promote(engine: Engine, place: Path, request_id: str = "r-1", **options: Any) -> PromotedResult:
    return review_promotion.promote(engine, settings_of(place), request_id, **options)


def listing(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_good_result_becomes_a_sample_with_its_facts(engine: Engine, folder: Path) -> None:
    asked = {"tags": ["castle", "schön"]}
    store(engine, [record("r-1", asked=asked, rating={"effective": "romantic"}, generated_for="r-0")])
    score_next(engine, "anna", 5)
    score_next(engine, "ben", 4)
    found = promote(engine, folder, name="gate", tags=["storm", "castle"])
    assert (found.name, found.kind, found.rating, found.mean_score, found.reviewers) == (
        "sample_gate.json",
        "dialogue",
        "romantic",
        4.5,
        2,
    )
    loaded = next(each for each in samples.load(folder).of_kind("dialogue") if each.name == found.name)
    assert loaded.content == dialogue("r-1")
    assert loaded.hash == found.hash
    assert (str(loaded.rating), loaded.tags, loaded.author) == (
        "romantic",
        ("castle", "schön", "storm"),
        "server/m1",
    )
    ((sample,), unread) = samples.find_promoted(folder)
    assert (sample.name, unread) == ("sample_gate.json", ())
    assert sample.source == PromotedFrom(
        request="r-1", generated_for="r-0", writer="server/m1", mean_score=4.5, reviewers=2
    )
    assert listing(folder) == [
        "sample_dialogue_airlock.json",
        "sample_dialogue_airlock.toml",
        "sample_gate.json",
        "sample_gate.toml",
    ]


@pytest.mark.parametrize(
    ("result", "scores", "why"),
    [
        ({}, (), "nobody has scored it"),
        ({}, (1,), r"mean score is 1\.00; it needs 4"),
        ({}, (5, 5, 5, 2), "a reviewer gave it 2; nobody may have given less than 3"),
        ({"origin": "golden_sample"}, (), "no content of a model"),
        ({"left_out": True}, (), "no content of a model"),
        ({"origin": "scripted", "provider": "scripted"}, (5,), "it is a test double"),
        ({"origin": "cache", "provider": "scripted"}, (5,), "it is a test double"),
        ({"content": {"title": "nothing else"}}, (5,), "does not pass `understudy samples check`"),
        (
            {"content": json.loads((SAMPLES / "sample_dialogue_airlock.json").read_text(encoding="utf-8"))},
            (5,),
            "sample_dialogue_airlock.json has the same content",
        ),
        ({"content": dialogue("They have sex in the tower")}, (5,), "needs the rating"),
        (
            {"asked": {"player_context": {"player_id": "anna-7"}}, "content": dialogue("anna-7's tower")},
            (5,),
            "has the id of its player",
        ),
    ],
)
def test_what_must_not_stand_in_is_refused_with_the_reason(
    engine: Engine, folder: Path, result: dict[str, Any], scores: tuple[int, ...], why: str
) -> None:
    store(engine, [record("r-1", **result)])
    for number, each in enumerate(scores):
        score_next(engine, f"reviewer {number}", each)
    before = listing(folder)
    with pytest.raises(PromotionRefused, match=why):
        promote(engine, folder)
    assert listing(folder) == before


def test_a_bad_score_of_a_copy_counts_and_so_does_the_tag_personal(engine: Engine, folder: Path) -> None:
    same = dialogue("the same")
    store(engine, [record("r-1", content=same), record("copy", at=1, content=same, origin="cache")])
    score_next(engine, "anna", 5, request_id="r-1")
    score_next(engine, "ben", 1, request_id="copy")
    with pytest.raises(PromotionRefused, match="a reviewer gave it 1"):
        promote(engine, folder)
    store(engine, [record("r-2", at=2)])
    score_next(engine, "anna", 5, request_id="r-2", tags=("personal",))
    with pytest.raises(PromotionRefused, match="marked it personal"):
        promote(engine, folder, "r-2")


def test_limits_are_settings(engine: Engine, folder: Path) -> None:
    store(engine, [record("r-1")])
    score_next(engine, "anna", 3)
    strict = settings_of(folder, promote_min_reviews=2, promote_min_score=3)
    with pytest.raises(
        PromotionRefused, match=r"scores of 1 and needs those of 2 \(review\.promote_min_reviews\)"
    ):
        review_promotion.promote(engine, strict, "r-1")
    review_promotion.promote(engine, settings_of(folder, promote_min_score=3), "r-1")


def test_nothing_is_overwritten_and_a_folder_must_exist(engine: Engine, folder: Path) -> None:
    store(engine, [record("r-1")])
    score_next(engine, "anna", 5)
    before = (folder / "sample_dialogue_airlock.json").read_bytes()
    with pytest.raises(PromotionRefused, match="already; give another name"):
        promote(engine, folder, name="dialogue_airlock")
    with pytest.raises(PromotionRefused, match="no name of a sample"):
        promote(engine, folder, name="../evil")
    with pytest.raises(PromotionRefused, match="is not a folder"):
        promote(engine, folder, folder=folder / "none")
    assert (folder / "sample_dialogue_airlock.json").read_bytes() == before
    (folder / "sample_own.toml").write_text('author = "somebody"\n', encoding="utf-8")
    with pytest.raises(PromotionRefused, match="already; give another name"):
        promote(engine, folder, name="own")
    assert (folder / "sample_own.toml").read_text(encoding="utf-8") == 'author = "somebody"\n'


def test_an_interrupted_promotion_keeps_nothing_from_starting_and_can_be_repeated(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(engine, [record("r-1")])
    score_next(engine, "anna", 5)
    link = os.link

    def stay(path: Path, *, missing_ok: bool = False) -> None:
        """A process that is dead cleans nothing up."""
        assert path, missing_ok

    def die_before_the_sample(source: Path, target: Path) -> None:
        if target.suffix == ".json":
            raise KeyboardInterrupt
        link(source, target)

    monkeypatch.setattr(os, "link", die_before_the_sample)
    monkeypatch.setattr(Path, "unlink", stay)
    with pytest.raises(KeyboardInterrupt):
        promote(engine, folder, name="gate")
    monkeypatch.undo()
    assert (folder / "sample_gate.toml").exists()
    assert not (folder / "sample_gate.json").exists()
    assert len(samples.load(folder).of_kind("dialogue")) == 1
    assert [each.file for each in samples.check(folder) if not each.ok] == ["sample_gate.toml"]
    promote(engine, folder, name="gate", dry_run=True)
    assert (folder / "sample_gate.toml").exists(), "a dry run changes nothing"
    promote(engine, folder, name="gate")
    assert len(samples.load(folder).of_kind("dialogue")) == 2
    assert all(each.ok for each in samples.check(folder))


def test_a_sidecar_is_read_as_it_was_written() -> None:
    sidecar = Sidecar(
        tags=('a "b" \\ c', "ü", "not"),
        author="m/1",
        promoted_from=PromotedFrom(request="r", writer="a\tb\x7f", mean_score=4.0, reviewers=1),
    )
    assert Sidecar.model_validate(tomllib.loads(sample_files.write_sidecar(sidecar))) == sidecar


def test_candidates_are_where_samples_are_few_and_doubtful_samples_are_named(
    engine: Engine, folder: Path
) -> None:
    store(
        engine,
        [
            record("many", at=1),
            record("few", at=2, rating={"effective": "romantic"}),
            record("bad", at=3),
            record("double", at=4, origin="scripted", provider="scripted"),
        ],
    )
    for request_id, score in (("many", 5), ("few", 4), ("bad", 2), ("double", 5)):
        score_next(engine, "anna", score, request_id=request_id)
    settings = settings_of(folder)
    found = find_candidates(engine, settings, EVERYTHING)
    assert [(each.request_id, each.samples, each.mean_score) for each in found.candidates] == [
        ("few", 0, 4.0),
        ("many", 1, 5.0),
    ]
    assert found.doubtful == ()
    promote(engine, folder, "many", name="many")
    score_next(engine, "ben", 1, request_id="many")
    later = find_candidates(engine, settings, EVERYTHING)
    assert [each.request_id for each in later.candidates] == ["few"]
    (doubtful,) = later.doubtful
    assert (doubtful.name, doubtful.request_id, doubtful.mean_score) == ("sample_many.json", "many", 3.0)
