"""Does training learn, and does it go on after an interruption as if there had been none?"""

from itertools import pairwise

import pytest
import torch

from infra.lab.house_model.batches import IGNORED, BatchPosition, copying, documents
from infra.lab.house_model.train import Training, TrainingPlan, loss_of, rate, tokenizer_of, train

TINY = TrainingPlan(
    seed=1,
    cycles=(24,),
    warm_up=2,
    copy_every=8,
    focus_from=8,
    matrices=0.05,
    rest=0.05,
    width=64,
    layers=1,
    heads=2,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, monkeymodule):
    folder = tmp_path_factory.mktemp("training")
    monkeymodule.setattr("infra.lab.house_model.train._TOKENIZER_DOCUMENTS", 120)
    monkeymodule.setattr("infra.lab.house_model.batches.TOKENS", 400)
    tokenizer_of(TINY, folder)
    return folder


@pytest.fixture(scope="module")
def monkeymodule():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_the_loss_falls(folder, tmp_path):
    training = Training(TINY, tokenizer_of(TINY, folder))
    batch, _ = next(documents(TINY.seed + 2, training.tokenizer, BatchPosition()))
    before = loss_of(training.model, batch).item()
    for _ in range(TINY.steps):
        training.advance()
    assert loss_of(training.model, batch).item() < 0.9 * before


def test_training_goes_on_where_it_stopped(folder, tmp_path):
    torch.set_num_threads(1)
    whole = Training(TINY, tokenizer_of(TINY, folder))
    straight = [whole.advance()[1] for _ in range(12)]
    first = Training(TINY, tokenizer_of(TINY, folder))
    for _ in range(6):
        first.advance()
    first.save(tmp_path)
    second = Training(TINY, tokenizer_of(TINY, folder))
    second.load(tmp_path)
    assert [second.advance()[1] for _ in range(6)] == pytest.approx(straight[6:], rel=1e-4)
    assert second.figures.documents == whole.figures.documents


def test_a_checkpoint_of_another_plan_is_refused(folder, tmp_path):
    Training(TINY, tokenizer_of(TINY, folder)).save(tmp_path)
    other = Training(
        TrainingPlan(**{**{name: getattr(TINY, name) for name in TINY.__struct_fields__}, "cycles": (25,)}),
        tokenizer_of(TINY, folder),
    )
    with pytest.raises(ValueError, match="belongs to the plan"):
        other.load(tmp_path)


def test_train_says_how_far_it_is(folder):
    said = []
    finished = train(
        TrainingPlan(**{**{name: getattr(TINY, name) for name in TINY.__struct_fields__}, "cycles": (2,)}),
        folder,
        threads=1,
        say=said.append,
    )
    assert finished.step == 2
    assert "2 steps" in said[0]
    assert (folder / "training.pt").exists()


def test_what_the_wish_names_counts_more(folder):
    tokenizer = tokenizer_of(TINY, folder)
    batches = documents(1, tokenizer, BatchPosition())
    weights = {
        weight
        for _ in range(10)
        for batch in [next(batches)[0]]
        for labels, row in zip(batch.labels, batch.weights, strict=True)
        for label, weight in zip(labels, row, strict=True)
        if label != IGNORED
    }
    assert weights == {1.0, 5.0}


def test_only_answers_are_learnt(folder):
    tokenizer = tokenizer_of(TINY, folder)
    batch, after = next(documents(1, tokenizer, BatchPosition()))
    assert after != BatchPosition()
    to = tokenizer.convert_tokens_to_ids("<|to|>")
    for ids, labels in zip(batch.ids, batch.labels, strict=True):
        start = ids.index(to) + 1
        assert labels[:start] == [IGNORED] * start
        learnt = [label for label in labels if label != IGNORED]
        assert ids[start : start + len(learnt)] == learnt
        assert learnt[-1] == tokenizer.eos_token_id


def test_copying_is_the_second_half():
    batch = copying(1, 1, 500)
    for ids, labels in zip(batch.ids, batch.labels, strict=True):
        half = len(ids) // 2
        assert ids[:half] == ids[half:] == labels[half:]


@pytest.mark.parametrize("step", range(14_000, 14_012))
def test_what_is_learnt_of_a_list_stood_there_before(step):
    batch = copying(1, step, 500)
    assert any(label != IGNORED for labels in batch.labels for label in labels)
    for ids, labels in zip(batch.ids, batch.labels, strict=True):
        for place, label in enumerate(labels):
            if label != IGNORED and labels[place - 1] != IGNORED:
                assert label == ids[place]
                assert (ids[place - 1], label) in pairwise(ids[:place])


def test_the_learning_rate_rises_stays_and_falls():
    plan = TrainingPlan(cycles=(1000,))
    assert rate(plan, 0) < rate(plan, 30) < rate(plan, 100) == rate(plan, 599) == 1
    assert rate(plan, 700) < 1
    assert rate(plan, 999) == pytest.approx(0.02, abs=1e-3)


def test_each_cycle_has_a_schedule_of_its_own():
    plan = TrainingPlan(cycles=(1000, 500))
    assert plan.steps == 1500
    assert rate(plan, 999) < 0.03 < rate(plan, 1060) == 1
    assert rate(plan, 1499) == pytest.approx(0.02, abs=1e-3)
