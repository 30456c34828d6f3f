"""Models with random weights of known sizes, for measurements without trained ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_END: Final = "<|end|>"
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
#: What a trained vocabulary has learnt of JSON.
_JSON: Final = (('"', ":"), ('"', ","), ('":', '"'), ('",', '"'), ("{", '"'), ("}", ","), ("[", "{"))


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """The shape of a decoder."""

    kind: Literal["llama", "qwen2"]
    vocabulary: int
    width: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    #: One matrix for the first and the last step.
    tied: bool
    #: Positions of the context window.
    window: int = 1024
    #: Standard deviation of the weights: wider than usual, so that some tokens are likelier than others, as
    #: after training.
    spread: float = 0.1
    dtype: Literal["float32", "bfloat16"] = "float32"


#: 15.7 million, 123.6 million and 7.2 billion parameters.
SIZES: Final = {
    "15m": Size(
        kind="qwen2", vocabulary=8192, width=384, inner=1024, layers=6, heads=6, kv_heads=2, tied=False
    ),
    "125m": Size(
        kind="llama", vocabulary=50304, width=768, inner=2048, layers=12, heads=12, kv_heads=12, tied=True
    ),
    # Narrow: at 0.02, 32 layers of random weights amplify the rounding of bfloat16 to 6 % of the logits, more than
    # the engine's check of its forward pass admits.
    "7b": Size(
        kind="llama",
        vocabulary=32000,
        width=4096,
        inner=14336,
        layers=32,
        heads=32,
        kv_heads=8,
        tied=False,
        spread=0.007,
        dtype="bfloat16",
    ),
}


def make(folder: Path, size: Size, device: str = "cpu", *, seed: int = 1) -> None:
    """Write weights, configuration and tokenizer the way ``save_pretrained`` does.

    Args:
        folder: for the files.
        size: of the model.
        device: where the weights are drawn; a GPU draws billions within seconds.
        seed: of the weights.
    """
    import torch  # noqa: PLC0415 - optional
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config  # noqa: PLC0415 - optional
    from transformers.utils import logging as hf_logging  # noqa: PLC0415 - optional

    torch.manual_seed(seed)
    words = tokenizer(size.vocabulary)
    hf_logging.disable_progress_bar()
    config = (Qwen2Config if size.kind == "qwen2" else LlamaConfig)(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        max_position_embeddings=size.window,
        tie_word_embeddings=size.tied,
        initializer_range=size.spread,
        bos_token_id=None,
        eos_token_id=words.convert_tokens_to_ids([_END]),
    )
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, size.dtype))
    model.save_pretrained(folder)
    words.save_pretrained(folder)


def tokenizer(size: int) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with so many tokens: all bytes, some JSON, and the beginnings of all words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415 - optional
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - optional

    bytewise = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces = [_END, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges: list[tuple[str, str]] = []
    space = "Ġ"
    wanted = [*_JSON, *((space, letter) for letter in _LETTERS)]
    growing = [*_LETTERS, *(space + letter for letter in _LETTERS)]
    while len(pieces) < size:
        if not wanted:
            start = growing.pop(0)
            wanted = [(start, letter) for letter in _LETTERS]
            growing += [start + letter for letter in _LETTERS]
        left, right = wanted.pop(0)
        merges.append((left, right))
        pieces.append(left + right)
    made = Tokenizer(models.BPE(vocab={piece: number for number, piece in enumerate(pieces)}, merges=merges))
    made.pre_tokenizer = bytewise
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([_END])
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token=_END)
