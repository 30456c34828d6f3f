"""How is the model asked to turn prose into JSON?"""

from __future__ import annotations


def structuring_prompt(kind: str, draft: str, schema: str, errors: tuple[str, ...] = ()) -> str:
    """The instruction for the structuring stage.

    Args:
        kind: content kind.
        draft: the prose; it stands between markers that it cannot close.
        schema: JSON Schema of the answer, as JSON.
        errors: what was wrong with the document before, one line per fault.
    """
    quoted = draft.replace("<<<", "< < <").replace(">>>", "> > >")
    again = ""
    if errors:
        faults = "\n".join(f"- {line}" for line in errors)
        again = f"The document before could not be used:\n{faults}\nAnswer with a corrected one.\n"
    return (
        f"Turn the {kind} between the markers into one JSON document that follows the schema. "
        "Answer with JSON only, from { to }, without comments and without a code fence; "
        "use only what the text says.\n"
        f"Schema: {schema}\n{again}<<<\n{quoted}\n>>>\n"
    )
