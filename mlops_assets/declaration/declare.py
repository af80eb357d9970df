"""Turns the attributes of a YAML file into one checked `ModelSpec`, or into an error that lists every problem."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mlops_assets.declaration.contradictions import contradictions
from mlops_assets.declaration.data import ONLY_FEED
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.values import FieldPath, FieldProblem


class DeclarationError(ValueError):
    """A declaration that cannot be used, with all the reasons."""


def declare(attributes: Mapping[str, Any], root: Path, place: Callable[[FieldPath], str] = lambda _: "") -> ModelSpec:
    """The declared model, its relative paths starting at `root`; `place` names the file and line of a field."""
    try:
        spec = ModelSpec.model_validate(attributes)
    except ValidationError as err:
        raise _error(attributes, [_problem(details) for details in err.errors()], place) from None
    if problems := contradictions(spec):
        raise _error(attributes, problems, place)
    digest = hashlib.sha256(spec.model_dump_json(exclude={"declared"}).encode()).hexdigest()
    return spec.model_copy(update={"source": spec.source.with_root(str(root)), "declared": digest})


def _problem(details: ErrorDetails) -> FieldProblem:
    message = details["msg"].removeprefix("Value error, ")
    value = "" if details["type"] in ("missing", "value_error") else f" It is {details['input']!r}."
    return FieldProblem(details["loc"], f"{message if message.endswith(('.', '?')) else f'{message}.'}{value}")


def _error(
    attributes: Mapping[str, Any], problems: list[FieldProblem], place: Callable[[FieldPath], str]
) -> DeclarationError:
    lines = [f"The declaration of {attributes.get('name')} has {len(problems)} problem(s):"]
    for path, message in problems:
        path = _as_written(path, attributes)
        lines.append(f"  - {place(path)}{'.'.join(map(str, path))}: {message}")
    return DeclarationError("\n".join(lines))


def _as_written(path: FieldPath, attributes: Mapping[str, Any]) -> FieldPath:
    """The path in the YAML: the only feed may be written without its name."""
    single = path[:3] == ("source", "feeds", ONLY_FEED) and not attributes["source"].get("feeds")
    return ("source", *path[3:]) if single else path
