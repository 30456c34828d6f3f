"""Are the engine's own passes those of the model, and is a model that it cannot run refused?"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from infra.engine import product
from infra.engine.engine import Engine
from infra.engine.files import Unloadable
from infra.engine.forward import Forward, Stock
from infra.engine.kv_cache import KvCache
from infra.engine.lean import Lean
from infra.engine.load import Loaded, load

_SIZE = {
    "vocab_size": 400,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
_SHARED = {"num_key_value_heads": 2}
#: Of the family, each with something that the others have not.
FAMILY = {
    "Llama": {"attention_bias": False, "tie_word_embeddings": True},
    "Qwen2": {"tie_word_embeddings": False},
    "Qwen3": {"head_dim": 32},
    "Mistral": {"sliding_window": None},
}
#: Run as transformers has them.
OTHERS = {
    "GPT2": {"n_head": 4, "num_key_value_heads": 4},
    "Gemma": {"head_dim": 16},
    "Phi": {},
    "Olmo2": {},
}


def built(name: str, **more) -> PreTrainedModel:
    torch.manual_seed(4)
    config = getattr(transformers, f"{name}Config")(**{**_SIZE, **_SHARED, **more})
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    with torch.no_grad():
        for parameter in model.parameters():
            # Norms and biases are ones and zeros in a new model: a mistake there would not be seen.
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval().requires_grad_(requires_grad=False)


def slots_for(model: PreTrainedModel) -> KvCache:
    config = model.config
    heads = config.num_attention_heads
    return KvCache(
        layers=config.num_hidden_layers,
        rows=4,
        kv_heads=getattr(config, "num_key_value_heads", heads),
        max_len=64,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )


def own(model: PreTrainedModel, texts: list[list[int]]) -> torch.Tensor:
    """The last logits of each text, by the model itself and one by one."""
    return torch.stack([model(torch.tensor([text])).logits[0, -1] for text in texts])


TEXTS = [list(range(3, 40)), [7, 8, 9], [100, 50, 25, 12, 6, 3, 150, 75], [11] * 20]


def started(model: PreTrainedModel, *, strict: bool = False) -> Forward:
    forward = Forward(model, slots_for(model), rows=4, strict=strict)
    forward.start([3, 4, 5])
    return forward


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("name", "large"), [*((name, 2**18) for name in [*FAMILY, *OTHERS]), *((name, 1) for name in FAMILY)]
)
def test_rows_of_different_lengths_get_the_models_own_logits(name, large, strict, monkeypatch) -> None:
    monkeypatch.setattr(product, "_LARGE", large)
    model = built(name, **{**FAMILY, **OTHERS}[name])
    wanted = own(model, TEXTS)
    forward = started(model, strict=strict)
    assert isinstance(forward._pass, Lean if name in FAMILY else Stock)
    if strict:
        for row, text in enumerate(TEXTS):
            forward([row], [0], [text[:-1]], alone=True)
        found = forward(
            [0, 1, 2, 3], [len(text) - 1 for text in TEXTS], [text[-1:] for text in TEXTS], alone=False
        )
    else:
        # Prompts of different lengths together, then rests of different lengths, slots out of order.
        cuts = [30, 1, 6, 19]
        forward(
            [3, 0, 2, 1], [0] * 4, [text[:cut] for text, cut in zip(TEXTS, cuts, strict=True)], alone=True
        )
        found = forward(
            [3, 0, 2, 1], cuts, [text[cut:] for text, cut in zip(TEXTS, cuts, strict=True)], alone=False
        )
    assert torch.allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("name", FAMILY)
def test_a_model_with_nothing_packed_still_writes_the_same_by_itself(name) -> None:
    model = built(name, **FAMILY[name])
    before = own(model, TEXTS)
    started(model)
    assert torch.allclose(own(model, TEXTS), before, atol=1e-5)


def test_joining_matrices_keeps_one_copy_of_the_weights() -> None:
    model = built("Qwen2", tie_word_embeddings=True)
    size = sum(parameter.numel() for parameter in model.parameters())
    started(model)
    stored = {
        parameter.untyped_storage().data_ptr(): parameter.untyped_storage()
        for parameter in model.parameters()
    }
    assert sum(len(storage) for storage in stored.values()) == 4 * size


def test_some_rows_are_read_while_others_wait() -> None:
    model = built("Llama")
    forward = started(model)
    forward([0, 1, 2, 3], [0] * 4, [text[:-1] for text in TEXTS], alone=True)
    some = [0, 2]
    found = forward(
        some, [len(TEXTS[row]) - 1 for row in some], [TEXTS[row][-1:] for row in some], alone=False
    )
    assert torch.allclose(found, own(model, [TEXTS[row] for row in some]), atol=1e-4)


def test_a_rotation_that_depends_on_the_length_goes_the_models_way() -> None:
    stretched = {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}}
    assert Lean.fits(built("Llama"))
    assert not Lean.fits(built("Llama", **stretched))
    assert not Lean.fits(built("Llama", mlp_bias=True))
    assert not Lean.fits(built("Llama", hidden_act="gelu"))


@pytest.mark.parametrize("name", ["OPT", "Falcon"])
def test_a_model_that_asks_more_of_its_cache_is_refused_at_start(loaded: Loaded, name) -> None:
    model = built(name, **{"OPT": {"ffn_dim": 96, "word_embed_proj_dim": 64}, "Falcon": {}}[name])
    engine = Engine(_instead(loaded, model), rows=2, max_len=64)
    with pytest.raises(Unloadable, match=f"the model {loaded.name} cannot be run here: .*get_seq_length"):
        engine.start()
    engine.close()


def test_a_model_whose_figures_differ_is_refused_at_start(loaded: Loaded) -> None:
    class Shifted(transformers.GPT2LMHeadModel):
        """Takes the place of a token for another as soon as there is a cache."""

        def forward(self, input_ids, position_ids=None, past_key_values=None, **fields):
            moved = position_ids + 5 if past_key_values is not None else position_ids
            return super().forward(input_ids, position_ids=moved, past_key_values=past_key_values, **fields)

    engine = Engine(_instead(loaded, Shifted(transformers.GPT2Config(**_SIZE)).eval()), rows=1, max_len=64)
    with pytest.raises(Unloadable, match=r"its logits differ by \d\.\d+ from"):
        engine.start()
    engine.close()


def test_a_window_that_slides_bounds_the_rows(folders, tmp_path) -> None:
    model = transformers.MistralForCausalLM(
        transformers.MistralConfig(**{**_SIZE, **_SHARED, "sliding_window": 48})
    )
    model.save_pretrained(tmp_path)
    load(str(folders("qwen2", 1)), device="cpu").tokenizer.save_pretrained(tmp_path)
    assert load(str(tmp_path), device="cpu").window == 48


def _instead(loaded: Loaded, model: PreTrainedModel) -> Loaded:
    return replace(loaded, model=model, vocabulary=model.config.vocab_size)
