"""Says in sentences what is wrong with a file or an environment, all of it at once.

Pydantic does the checking, strictly. `Must` and `Within` say what a value has to be; `explain` turns a failure into one
sentence for each problem; `read_json` reads a file that nobody vouches for, in bounded time and space.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError, core_schema

LARGEST = 1_000_000  # bytes
_SHOWN = 30  # problems in one message
_BROKEN_RULES = "broken_rules"
SECRET = "secret"  # the kind of an error whose value is never shown
_WITHOUT_VALUE = ("too_short", "too_long", SECRET)
_OBJECT = ("dataclass_type", "dict_type", "model_type")

T = TypeVar("T")


class Refused(ValueError):
    """A text that breaks the rules; `problems` holds all of them."""

    def __init__(self, where: str, problems: list[str]) -> None:
        rest = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        super().__init__(f"{where}: " + "; ".join(problems[:_SHOWN] + rest))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Must:
    """Annotates a type with the sentence's end: `Annotated[str, Field(pattern=…), Must("be a name")]`."""

    rule: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return _with_sentence(handler(source), f"must {self.rule}")


@dataclass(frozen=True)
class Within:
    """Annotates int or float with its bounds, which are allowed values themselves."""

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return self.bound(handler(source), "a whole number" if source is int else "a number")

    def bound(self, schema: core_schema.CoreSchema, number: str) -> core_schema.CoreSchema:
        bounded: Any = {**schema, "ge": self.low, "le": self.high}
        return _with_sentence(bounded, f"must be {number} from {self.low:,} to {self.high:,}")


def _with_sentence(schema: core_schema.CoreSchema, sentence: str) -> core_schema.CoreSchema:
    return core_schema.custom_error_schema(schema, "rule", custom_error_message=sentence)


def check_rules(problems: Iterable[str]) -> None:
    """For validators that compare fields: every sentence becomes a problem of its own."""
    if found := list(problems):
        raise PydanticCustomError(_BROKEN_RULES, "breaks the rules between its fields", {"problems": found})


def read_json(kind: TypeAdapter[T], content: str | bytes, where: str) -> T:
    """The value in a text: no field twice, no NaN, no number beyond float. `Refused` lists every problem."""
    if len(content) > LARGEST:
        raise Refused(where, [f"is larger than {LARGEST:,} bytes"])
    try:
        json.loads(content, object_pairs_hook=_without_repetition, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as err:  # bytes that are not UTF-8 are a ValueError too
        raise Refused(where, [f"is not JSON: {err}"]) from err
    try:
        return kind.validate_json(content)
    except ValidationError as err:
        raise Refused(where, explain(err.errors(include_url=False), lambda value: f", not {show(value)}")) from err


def explain(errors: Iterable[ErrorDetails], shown: Callable[[Any], str]) -> list[str]:
    """One sentence for each problem; `shown` ends those that are about a value."""
    return [sentence for error in errors for sentence in _sentences(error, shown)]


def _sentences(error: ErrorDetails, shown: Callable[[Any], str]) -> Iterator[str]:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    place = _place(error["loc"])
    if kind == _BROKEN_RULES:
        yield from context["problems"]
    elif kind == "missing":
        yield f"{place} is missing"
    elif kind in ("extra_forbidden", "unexpected_keyword_argument"):
        yield f"{_place(error['loc'][:-1], '.')}{show(error['loc'][-1])} is not a field"
    elif kind in _OBJECT:
        yield f"{place or 'the content'} must be an object{shown(value)}"
    elif kind == "too_short" and len(value) >= context["min_length"]:
        return  # its items are wrong, which is said of each of them
    elif kind != "default_factory_not_called":  # the field that it needs is wrong, which is said there
        yield f"{place} {_rule(error)}{'' if kind in _WITHOUT_VALUE else shown(value)}"


def _rule(error: ErrorDetails) -> str:
    """Pydantic says `Input should be a valid string`, `Value error, …`; a sentence needs only its end."""
    message = error["msg"].removeprefix("Value error, ").replace(" after validation", "")
    _, should, rest = message.partition(" should ")
    return f"must {rest}" if should else message


def _place(path: tuple[int | str, ...], end: str = "") -> str:
    """`arms[0].weight`"""
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return parts.removeprefix(".") + (end if parts else "")


def show(value: Any) -> str:
    """A hostile value in few words."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if value is None:
        return "null"
    return text if len(text := repr(value)) <= 60 else f"{text[:60]}…"


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known = dict(pairs)
    if len(known) < len(pairs):
        raise ValueError("an object has a field twice")
    return known


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:60]} is not a finite number")
    return value
