from pathlib import Path
from typing import Annotated

from pydantic import Field

from contracts.content.document import Document, Items, Phrase, Sentence
from contracts.content.kind import ContentKind
from contracts.content.placeholder import MARK


class Quest(Document):
    goal: Sentence
    """What the player achieves; models write better when the purpose comes first."""
    title: Phrase
    steps: Annotated[Items[Sentence], Field(min_length=1, max_length=12)]


QUEST = ContentKind(
    model=Quest,
    placeholder={"goal": f"{MARK} Goal", "title": f"{MARK} Quest", "steps": [f"{MARK} Step"]},
    samples=Path(__file__).parent / "samples",
    prompts=Path(__file__).parent / "prompts",
    provider="echo",
    scripted=lambda wish, number: {"goal": wish, "title": f"Quest {number}", "steps": [wish]},
)
