"""The options of a study, made from its fields: name, type, help and default stand in the configuration."""

from __future__ import annotations

import inspect
import re
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from steelyard._checks import InputError
from steelyard.recipe import Frozen, Recipe
from steelyard.studies.config import Data, Study, read_study, study
from steelyard.words import Word, names, split

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo

_PARTS: dict[str, tuple[str | None, type[Frozen]]] = {
    "Data": ("data", Data),
    "Study": (None, Study),
    "Training": ("training", Recipe),
}
_LISTS = ("classes", "critical", "keep", "methods", "milestones")
_NAMES = ("classes", "critical", "keep")  # as the data has them
_EPOCHS = get_args(Recipe.model_fields["keep"].annotation)  # that --keep may name; else it names columns
_NO_OPTIONS = ("data", "training", "source", "tested", "added", "confirms")


def study_options(*left_out: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate ``verb(asked: Study, ...)`` so that the command offers every field of a study as an option.

    Args:
        left_out: Fields that this verb does not offer.
    """

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        fields = {
            name: _parameter(name, info, panel)
            for panel, name, info in _fields()
            if name not in left_out and (panel, name) != ("Training", "keep")
        }

        @wraps(verb)
        def command(data: str, **values: Any) -> None:
            given = {name: values.pop(name) for name in fields}
            return verb(asked_study(data, given), **values)

        own = [p for p in inspect.signature(verb, eval_str=True).parameters.values() if p.name != "asked"]
        help_text = "built-in name, folder, .csv, .parquet, .npz, or the .yaml of a study"
        data = Annotated[str, typer.Argument(metavar="DATA", help=help_text)]
        first = inspect.Parameter("data", inspect.Parameter.KEYWORD_ONLY, annotation=data)
        parameters = [first, *(p.replace(kind=p.KEYWORD_ONLY) for p in own), *fields.values()]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def asked_study(data: str, given: dict[str, Any]) -> Study:
    """The study that DATA and the options ask for; options win over what a YAML study says.

    >>> asked_study("digits", {"methods": "ce,low(lam=1)", "epochs": 5}).training.epochs
    5
    """
    values: dict[str, Any] = (
        read_study(Path(data)) if re.search(r"\.ya?ml$", data) else {"data": {"source": data}}
    )
    for panel, name, _ in _fields():
        if given.get(name) is not None and _is_meant(panel, name, given[name]):
            part, _model = _PARTS[panel]
            place = values if part is None else values.setdefault(part, {})
            place[name] = _value(name, given[name])
    if given.get("methods") is not None:
        values.pop("added", None)  # it speaks of the methods of the file, which these replace
    return study(values)


def _is_meant(panel: str, name: str, text: Any) -> bool:
    """Whether an option is for the field ``name`` of ``panel``; --keep is for two of them."""
    return name != "keep" or (panel == "Training") == (text in _EPOCHS)


def _fields() -> list[tuple[str, str, FieldInfo]]:
    return [
        (panel, name, info)
        for panel, (_, model) in _PARTS.items()
        for name, info in model.model_fields.items()
        if name not in _NO_OPTIONS
    ]


def _parameter(name: str, info: FieldInfo, panel: str) -> inspect.Parameter:
    """An option without a default of its own: what is not given is left to the configuration."""
    plain = [kind for kind in (bool, int, float) if kind in _types(info.annotation)]
    kind: Any = plain[0] if plain and name not in (*_LISTS, "image_size") else str
    choices = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    notes = [", ".join(choices)] if choices else []
    if info.default not in (None, False, ()):
        notes.append(f"default: {_text(info.default)}")
    flag = f"--{name.replace('_', '-')}"
    text = f"{info.description} ({'; '.join(notes)})" if notes else info.description
    option = typer.Option(flag, help=text, rich_help_panel=panel, show_default=False)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _types(annotation: Any) -> list[Any]:
    """The types of an annotation such as ``Annotated[int, ...] | None``, unwrapped."""
    return [annotation, *(inner for part in get_args(annotation) for inner in _types(part))]


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _value(name: str, text: Any) -> Any:
    if name == "keep" and text in _EPOCHS:
        return text
    if name in _NAMES:
        return names(text)
    if name in _LISTS:
        parts = split(text)
        return [Word.parse(part) for part in parts] if name == "methods" else parts
    if name == "image_size":
        if not re.fullmatch(r"\d+(x\d+)?", text):
            raise InputError(f"expected --image-size as 64, or as height x width 48x64, got {text!r}.")
        sizes = [int(part) for part in text.split("x")]
        return sizes[0] if len(sizes) == 1 else sizes
    return text
