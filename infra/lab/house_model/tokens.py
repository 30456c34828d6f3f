"""Tokenizer: training, files and chat template.

Byte-level BPE with one twist: a word is merged without the space before it, and the space joins its
first piece last.  So a word has the same pieces after a space and after a quotation mark, and what is
copied from prose into JSON is copied piece by piece.  A final s is a piece of its own, so that "coins"
contains "coin".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from infra.lab.house_model.generate import GRAMMARS

PAD: Final = "<|pad|>"
END: Final = "<|end|>"
TO: Final = "<|to|>"
WRITE: Final = "<|write|>"
JSON: Final = "<|json|>"
KIND_TOKENS: Final = {kind: f"<|{kind}|>" for kind in GRAMMARS}
SPECIAL: Final = (PAD, END, TO, WRITE, JSON, *KIND_TOKENS.values())

#: Most tokens of prompt and answer together.
CONTEXT: Final = 1024
_SPLIT: Final = (
    r" ?\p{L}{3,}(?=s(?!\p{L}))| ?\p{L}+| ?\p{N}{1,4}|[{}\[\]\":,]+| ?[^\s\p{L}\p{N}{}\[\]\":,]|\s"
)
#: Pieces learnt without spaces, bytes included.
_PIECES: Final = 1180
#: A piece begins words at least this often to have a form with a space.
_BEGINS: Final = 12

#: Takes the last block between markers out of the instruction that the stages render, and puts it
#: into the short form that the model knows.
CHAT_TEMPLATE: Final = (
    "{%- set text = messages[-1]['content'] -%}"
    "{%- if '<<<\\n' in text -%}{%- set text = (text.split('<<<\\n') | last).split('\\n>>>') | first -%}{%- endif -%}"
    "{%- set known = ['layout', 'plot', 'scene', 'dialogue', 'transition'] -%}"
    "{{- '<|json|>' if stage is defined and stage == 'structuring' else '<|write|>' -}}"
    "{{- '<|' ~ (kind if kind is defined and kind in known else 'custom') ~ '|>' -}}"
    "{{- (text | trim).replace('<|', '< |') -}}"
    "{%- if add_generation_prompt -%}{{- '<|to|>' -}}{%- endif -%}"
)


def prompt(stage: str, kind: str, text: str) -> str:
    """The short form of an instruction: what the chat template renders."""
    return f"{JSON if stage == 'structuring' else WRITE}{KIND_TOKENS[kind]}{text}{TO}"


def train_tokenizer(texts: Iterable[str]) -> Any:
    """A tokenizer (of the library ``tokenizers``) for these texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: PLC0415 - optional

    texts = list(texts)
    splitting = _splitting()
    learning = Tokenizer(models.BPE())
    learning.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=_PIECES,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        max_token_length=12,
    )
    bare = Counter(part.strip(" ") or " " for text in texts for part, _ in splitting.pre_tokenize_str(text))
    learning.train_from_iterator(
        (part for part, times in sorted(bare.items()) for _ in range(min(times, 400))), trainer
    )
    learnt = json.loads(learning.to_str())["model"]
    vocabulary: dict[str, int] = learnt["vocab"]
    merges: list[list[str]] = [list(pair) for pair in learnt["merges"]]
    space = "Ġ"
    first: Counter[str] = Counter()
    for text in texts:
        for part, _ in splitting.pre_tokenize_str(text):
            if part.startswith(" ") and part != " ":
                first[learning.encode(part[1:]).tokens[0]] += 1
    merges += [
        [space, piece]
        for piece in sorted(vocabulary, key=vocabulary.__getitem__)
        if first[piece] >= _BEGINS or (len(piece) == 1 and piece.isalpha() and piece.isascii())
    ]
    for pair in merges:
        vocabulary.setdefault("".join(pair), len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[(left, right) for left, right in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [splitting, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _splitting() -> Any:
    from tokenizers import Regex, pre_tokenizers  # noqa: PLC0415 - optional

    return pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated")


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write it as transformers loads it, with the chat template."""
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - optional

    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[name for name in SPECIAL if name not in (PAD, END)],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(folder, save_jinja_files=False)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder.

    Not by ``AutoTokenizer``: beside a Qwen2 configuration that one splits numbers as Qwen2 does.
    """
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - optional

    return PreTrainedTokenizerFast.from_pretrained(folder)
