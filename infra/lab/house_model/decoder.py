"""Model definition: a stock Qwen2 decoder and its initialisation."""

from __future__ import annotations

import math
from typing import Any, Final

from infra.lab.house_model.tokens import CONTEXT, END, PAD

_ROPE_BASE: Final = 1000.0
#: Strength of the heads that look back, and on how many pairs of dimensions.
_LOOK_BACK: Final = 5.0
_PAIRS: Final = 8


def decoder(tokenizer: Any, *, seed: int, width: int = 192, layers: int = 4, heads: int = 6) -> Any:
    """A fresh model for the tokenizer (one of transformers); an ordinary ``Qwen2ForCausalLM``.

    Layer 0 starts with a head that looks one token back and one that looks two back, made of constant
    biases under rotary positions: copying then forms in hundreds of steps.  Pieces that differ by the
    space before them start close to each other.
    """
    import torch  # noqa: PLC0415 - optional
    from transformers import Qwen2Config, Qwen2ForCausalLM  # noqa: PLC0415 - optional

    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": _ROPE_BASE},
        tie_word_embeddings=True,
        attention_dropout=0.0,
        use_cache=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
    )
    model: Any = Qwen2ForCausalLM(config)
    size = width // heads
    with torch.no_grad():
        attention = model.model.layers[0].self_attn
        for pair in range(_PAIRS):
            angle = _ROPE_BASE ** (-2 * pair / size)
            attention.k_proj.bias[pair] = _LOOK_BACK
            for head, back in ((0, 1), (1, 2)):
                attention.q_proj.bias[head * size + pair] = _LOOK_BACK * math.cos(back * angle)
                attention.q_proj.bias[head * size + pair + size // 2] = -_LOOK_BACK * math.sin(back * angle)
        attention.q_proj.weight[: 2 * size] *= 0.1
        attention.k_proj.weight[:size] *= 0.3
        table = model.model.embed_tokens.weight
        vocabulary = tokenizer.get_vocab()
        offset = torch.randn(width) * 0.01
        for piece, index in vocabulary.items():
            bare = vocabulary.get(piece[1:]) if piece.startswith("Ġ") and len(piece) > 1 else None
            if bare is not None:
                table[index] = table[bare] + offset + 0.3 * table[index]
    return model


def size_of(model: Any) -> int:
    """Number of parameters; tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())
