"""Model card of the house model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

#: Where a build keeps its figures.
MEASURED: Final = "measured.json"

_TEXT: Final = """# The house model

A decoder of {parameters:,} parameters that this repository trains itself, so that tests and benchmarks have a real model without a download. It follows short wishes in documents of the right form, and what it writes is word salad: the demo uses a model that writes English. Any other model takes its place with one setting.

| | |
|---|---|
| architecture | stock Qwen2 of transformers: {layers} layers, width {width}, {heads} heads of {head}, 2 key/value heads, tied embeddings, rotary base 1,000 |
| tokenizer | byte-level BPE, {tokens:,} entries; a word has the same pieces with and without a space before it |
| context | {context:,} tokens, prompt and answer together |
| weights | `model.safetensors`, float16 ({megabytes:.1f} MB); a CPU computes in float32 |
| data | synthetic, from the grammars in `infra/lab/house_model/`, drawn while training: about {documents:,} documents ({trained:,} tokens with padding), none stored; no text from elsewhere |
| training | {steps:,} steps of about 900 tokens, {warm_up} of them copying alone; Muon and AdamW; {hours:.1f} h on two shared CPU cores |
| loss | {loss:.3f} nats per answer token at the end (the share of names that cannot be guessed keeps it there) |
| licence | that of the repository |

Made by `python -m infra.lab.house_model build`, seeds fixed. Another version of torch or another CPU rounds differently, so figures move by tenths.

## What it does

Two tasks, told apart by the chat template in the tokenizer: a wish becomes prose (`stage="freeform-gen"`), prose becomes compact JSON of the kind's contract (`stage="structuring"`), fields in the schema's order. The template takes the last block between `<<<` and `>>>` out of the instruction and ignores the rest: the instruction's text and the schema are not read. `custom` documents take their keys from the grammar of constrained decoding.

## Does it follow its prompt?

{wishes} held-out wishes over six kinds and three styles (keywords, `field: value` lines, sentences). Seven in ten name words that training never saw: real ones kept from it ("listed"), and made up or misspelled ones. An announced count is right only if that many are there. "Shuffled" pairs each wish with another wish's prose of the same kind: what agreeing by chance is worth. Texts are written by `generate` of transformers.

{tables}

Wishes written by hand, in phrasings that no grammar makes (`handmade.py`), {handmade} wishes:

{by_hand}

JSON was decoded greedily without a grammar; with one, every document parses and validates.

## Known limits, and where it fails

- It loses things: of several in one list the later ones, and unknown words may be misspelled. Asked for as `node.constraints.required_elements`, a draft without them is drawn again.
- The prose is assembled from phrasings that it was taught; two results of a kind resemble each other. It has no knowledge: a dragon may be something to collect.
- Wishes far from the three styles (long stories, questions, negations such as "not too dark", other languages) are followed in part: it picks out nouns and names and may take a verb for a thing.
- A name or a thing is copied as written: a name in lower case stays so; a very long unknown word or one in another script may lose a letter.
- What must be avoided is left out because nothing asks for it; a thing with several names can still slip in.
- Numbers up to ten are spelled; above, counts are not followed. Coordinates are plausible, not playable. It does not calculate: of "20 to 40 seconds" it takes one number.
- Wish, prose and JSON must fit into {context:,} tokens; long drafts should be cut first.
- A rating is repeated ("Rated PG-13."), not understood: the text is harmless at every rating.
- Only English.
"""


def card(model: Any, tokenizer: Any, figures: Mapping[str, Any]) -> str:
    """The card's text.

    Args:
        model: the trained model.
        tokenizer: its tokenizer.
        figures: what training and evaluation wrote to :data:`MEASURED`.
    """
    config, plan = model.config, figures["plan"]
    parameters = sum(value.numel() for value in model.parameters())
    return _TEXT.format(
        parameters=parameters,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        head=config.hidden_size // config.num_attention_heads,
        tokens=len(tokenizer),
        context=config.max_position_embeddings,
        megabytes=parameters * 2 / 1e6,
        documents=figures["training"]["documents"],
        trained=figures["training"]["tokens"],
        steps=sum(plan["cycles"]),
        warm_up=plan["warm_up"],
        hours=figures["training"]["seconds"] / 3600,
        loss=figures["training"]["loss"],
        wishes=figures["wishes"],
        tables="\n\n".join(_table(name, rows) for name, rows in figures["tables"].items()),
        handmade=figures["handmade"]["wishes"],
        by_hand="\n\n".join(_table(name, rows) for name, rows in figures["handmade"]["rows"].items()),
    )


def _table(name: str, rows: Mapping[str, Any]) -> str:
    lines = [f"| {name} | share | of |", "|---|---|---|"]
    lines += [f"| {row} | {share['percent']} % | {share['of']:,} |" for row, share in rows.items()]
    return "\n".join(lines)


def plain(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Tables of shares as plain values, what is general first."""
    return {
        name: {
            row: {"right": share.right, "of": share.of, "percent": share.percent}
            for row, share in sorted(rows.items(), key=lambda item: (" / " in item[0], item[0]))
        }
        for name, rows in tables.items()
    }


def save(folder: Path, **figures: Any) -> None:
    """Add figures to those of the build."""
    path = folder / MEASURED
    known = read(folder) if path.exists() else {}
    path.write_text(json.dumps(known | msgspec.to_builtins(figures), indent=1) + "\n")


def read(folder: Path) -> dict[str, Any]:
    """The figures of the build."""
    return json.loads((folder / MEASURED).read_text())
