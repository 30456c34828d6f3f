"""`understudy prompts`: families, versions and rendered prompts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from contracts.policy.prompts import PromptVersion, Variable
    from infra.stores.prompts import PromptStore

app = typer.Typer(no_args_is_help=True, help="Prompt families and their versions.")


@app.command("ls")
def ls(json: Json = False) -> None:
    """List the versions of every family, oldest first."""
    store = _store()
    versions = [each for family in store.families() for each in store.versions(family)]
    if json:
        console.emit([_row(each, store) for each in versions])
        return
    from rich.text import Text

    from infra.cli.show import aligned

    rows = [
        (
            Text(each.id, style="bold"),
            _state(each, store),
            each.kind,
            str(each.tokens),
            ", ".join(each.variables),
            each.says,
        )
        for each in versions
    ]
    console.listed(aligned(("version", "state", "kind", "tokens", "variables", "says"), rows))


@app.command("show")
def show(
    version: Annotated[str, typer.Argument(help="A version such as layout@1, or a family for its latest.")],
    json: Json = False,
) -> None:
    """Print one version: its guardrails, its variables and its template."""
    store = _store()
    family, _, number = version.partition("@")
    found = _find(store, family, _number(number, version) if number else None)
    if json:
        console.emit(_row(found, store) | {"source": found.source, "release": _release(found, store)})
        return
    from rich.text import Text

    from infra.cli.show import aligned

    out = console.people()
    out.print(Text.assemble((found.id, "bold"), f"  {_state(found, store)}  {found.says}"), soft_wrap=True)
    out.print(f"kind {found.kind}, about {found.tokens} tokens without its values", soft_wrap=True)
    for sentence in found.guardrails:
        out.print(Text.assemble(("guardrail  ", "dim"), sentence), soft_wrap=True)
    rows = [
        (Text(name, style="bold"), _allowed(each), _need(name, each), each.says)
        for name, each in found.variables.items()
    ]
    out.print()
    console.listed(aligned(("variable", "allowed values", "", "says"), rows))
    out.print()
    out.print(Text(found.source.rstrip("\n")), soft_wrap=True)
    if not found.released:
        import msgspec

        entry = msgspec.json.encode({found.id: _release(found, store)}).decode()
        console.note(f"a draft; to release it, add this to released.json: {entry[1:-1]}")


@app.command("render")
def render(
    family: Annotated[str, typer.Option("--family", help="Prompt family.")],
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Version number; default: the latest.")
    ] = None,
    var: Annotated[
        list[str] | None,
        typer.Option(
            "--var",
            metavar="NAME=VALUE",
            help="A variable, as text or as JSON for other types. Repeatable.",
        ),
    ] = None,
    examples: Annotated[
        bool, typer.Option("--examples", help="Use the version's examples for variables without --var.")
    ] = False,
    json: Json = False,
) -> None:
    """Print the prompt as a model would get it; the request's texts are variables too."""
    from pydantic import ValidationError

    from contracts import request
    from contracts.nodes import validation
    from contracts.nodes.node import Constraints, Node, Style
    from contracts.policy import fingerprint
    from contracts.policy.prompts import OWN, PromptConfig
    from stages.context_build.prompts import render_freeform

    store = _store()
    found = _find(store, family, version)
    values = _values(found, var or [])
    if examples:
        values = found.values() | values
    missing = [name for name, each in found.variables.items() if each.required and name not in values]
    if missing:
        raise console.Usage(f"{found.id} needs {', '.join(missing)}; give each as --var NAME=VALUE")
    parts: dict[str, dict[str, Any]] = {
        "constraints": {name: values.get(name) or () for name in Constraints.model_fields if name in OWN},
        "style": {name: values[name] for name in Style.model_fields if name in values},
        "duration": _duration(values["duration"])
        if "duration" in found.variables and "duration" in values
        else {},
    }
    try:
        request.refuse(validation.validate(parts, facts=validation.Facts(kind=found.kind)))
        rendered = render_freeform(
            store,
            found.kind,
            values["wish"],
            node=Node.model_validate(parts),
            schema=values.get("schema"),
            config=PromptConfig.model_validate(
                {
                    "version_id": found.id,
                    "variables": {name: value for name, value in values.items() if name not in OWN},
                }
            ),
            drafts=True,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise console.Usage(f"{where or 'node'}: {first['msg'].removeprefix('Value error, ')}") from None
    except request.RequestError as error:
        raise console.Usage(str(error).removeprefix("prompt_config.variables.")) from None
    if json:
        console.emit(
            {
                "version": rendered.version,
                "text": rendered.text,
                "hash": fingerprint.digest_text(rendered.text),
                "released": found.released,
                "tokens": found.tokens,
            }
        )
        return
    from rich.text import Text

    console.people().print(Text(rendered.text.rstrip("\n")), soft_wrap=True)
    console.note(f"{rendered.version}, {fingerprint.digest_text(rendered.text)}")


def _duration(text: Any) -> dict[str, float]:
    """Seconds of a text such as ``20-40, target 30``, as in prompts."""
    found = re.fullmatch(r"(?:([\d.]+)\s*-\s*([\d.]+))?(?:\s*,\s*target\s+)?([\d.]+)?", str(text).strip())
    try:
        said = [None if each is None else float(each) for each in found.groups()] if found else []
    except ValueError:
        said = []
    if not any(each is not None for each in said):
        raise console.Usage(f"duration is {text!r}; write seconds as 20-40, target 30")
    return {name: each for name, each in zip(("min", "max", "target"), said, strict=True) if each is not None}


def _store() -> PromptStore:
    from infra.stores import prompts

    return prompts.load(*console.settings().prompt_folders)


def _number(text: str, whole: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,5}", text):
        raise console.Usage(f"{whole!r} is no version; write for instance layout@1")
    return int(text)


def _find(store: PromptStore, family: str, number: int | None) -> PromptVersion:
    versions = store.versions(family)
    if not versions:
        raise console.Usage(f"there is no prompt family {family!r}; known are {', '.join(store.families())}")
    if number is None:
        return next((each for each in reversed(versions) if each.released), versions[-1])
    found = next((each for each in versions if each.version == number), None)
    if found is None:
        has = ", ".join(str(each.version) for each in versions)
        raise console.Usage(f"family {family!r} has no version {number}; it has {has}")
    return found


def _values(version: PromptVersion, given: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals:
            raise console.Usage(f"--var {each!r} has no =; write NAME=VALUE")
        if name in values:
            raise console.Usage(f"--var {name} is given twice; leave one out")
        variable = version.variables.get(name)
        if variable is None:
            has = ", ".join(version.variables)
            raise console.Usage(f"{version.id} has no variable {name!r}; it has {has}")
        values[name] = _value(name, variable, text)
    return values


def _value(name: str, variable: Variable, text: str) -> Any:
    import json

    from contracts.policy.prompts import VariableType, find_fault

    value: Any = text
    if variable.type not in (VariableType.TEXT, VariableType.CHOICE):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise console.Usage(
                f"--var {name} is not JSON: {error}; it needs a value of type {variable.type}"
            ) from None
    fault = find_fault(variable, value)
    if fault is not None:
        raise console.Usage(f"--var {name} {fault}")
    return value


def _state(version: PromptVersion, store: PromptStore) -> str:
    if not version.released:
        return "draft"
    return "latest" if _find(store, version.family, None) is version else "released"


def _need(name: str, variable: Variable) -> str:
    from contracts.policy.prompts import OWN

    if name in OWN:
        return "from the request"
    return (
        "required"
        if variable.required
        else f"default {variable.default}"
        if variable.default is not None
        else ""
    )


def _allowed(variable: Variable) -> str:
    from contracts.policy.prompts import VariableType

    match variable.type:
        case VariableType.CHOICE:
            return " | ".join(variable.one_of)
        case VariableType.INTEGER | VariableType.NUMBER:
            return f"{variable.type}, {variable.least:.16g} to {variable.most:.16g}"
        case _:
            return str(variable.type)


def _row(version: PromptVersion, store: PromptStore) -> dict[str, Any]:
    row = version.model_dump(mode="json", exclude={"source"})
    return {"id": version.id, **row, "latest": _state(version, store) == "latest"}


def _release(version: PromptVersion, store: PromptStore) -> dict[str, str]:
    import msgspec

    from infra.stores.prompts import release_of

    return msgspec.to_builtins(release_of(version, store))
