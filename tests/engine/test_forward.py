"""Forward passes compared with the model's own, and models that the engine refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from infra.engine.engine import Engine
from infra.engine.files import Unloadable
from infra.engine.forward import Forward, Padded
from infra.engine.kv_cache import KvCache
from infra.engine.load import Loaded, load
from infra.engine.ragged import Ragged

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
#: Each with something that the others have not: biases, shared or one key head, norms of heads, parallel layers.
MODELS = {
    "Llama": {"attention_bias": False, "tie_word_embeddings": True},
    "Qwen2": {"tie_word_embeddings": False},
    "Qwen3": {"head_dim": 32},
    "Mistral": {"sliding_window": None},
    "GPT2": {"n_head": 4, "num_key_value_heads": 4},
    "Gemma": {"head_dim": 16},
    "Gemma3Text": {"head_dim": 16, "sliding_window": 64},
    "Phi": {},
    "Olmo2": {},
    "Cohere": {},
    "Mixtral": {"num_local_experts": 4},
}
#: Those that do not use transformers' attention interface.
PADDED = {"StableLm": {}, "Nemotron": {}}


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
@pytest.mark.parametrize("name", [*MODELS, *PADDED])
def test_rows_of_different_lengths_get_the_models_own_logits(name, strict) -> None:
    model = built(name, **{**MODELS, **PADDED}[name])
    wanted = own(model, TEXTS)
    forward = started(model, strict=strict)
    assert isinstance(forward._pass, Ragged if name in MODELS else Padded)
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


@pytest.mark.parametrize("name", MODELS)
def test_the_model_still_writes_the_same_without_the_engine(name) -> None:
    model = built(name, **MODELS[name])
    before = own(model, TEXTS)
    started(model)
    assert torch.equal(own(model, TEXTS), before)


def test_padding_is_for_attention_alone() -> None:
    model = built("Llama")
    forward = started(model)
    read: list[int] = []
    model.model.layers[0].mlp.register_forward_hook(lambda _, inputs, __: read.append(inputs[0].shape[1]))
    forward([0, 1, 2, 3], [0] * 4, TEXTS, alone=True)
    assert read == [sum(map(len, TEXTS))]


def test_some_rows_are_read_while_others_wait() -> None:
    model = built("Llama")
    forward = started(model)
    forward([0, 1, 2, 3], [0] * 4, [text[:-1] for text in TEXTS], alone=True)
    some = [0, 2]
    found = forward(
        some, [len(TEXTS[row]) - 1 for row in some], [TEXTS[row][-1:] for row in some], alone=False
    )
    assert torch.allclose(found, own(model, [TEXTS[row] for row in some]), atol=1e-4)


def test_attention_of_its_own_is_left_to_the_model(monkeypatch) -> None:
    model = built("Llama")
    inner = type(model).forward

    def capped(self, *args, **fields):
        return (
            inner(self, *args, **fields, softcap=50.0) if "layout" in fields else inner(self, *args, **fields)
        )

    monkeypatch.setattr(type(model), "forward", capped)
    forward = started(model)
    assert isinstance(forward._pass, Padded)


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
