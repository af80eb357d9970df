"""Reads JSON that nobody vouches for: each field checked, every problem named, in bounded time and space.

A `Check` takes a value, where it stands and the problems found so far; it returns the value as it should be,
or adds a problem. Standard library only; knows no format.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

LARGEST = 1_000_000  # bytes
_SHOWN = 30  # problems in one message
_REPEATED = "a field stands twice in one object"

Check = Callable[[Any, str, list[str]], Any]


class Refused(ValueError):
    """A text that breaks the rules; `problems` holds all of them."""

    def __init__(self, where: str, problems: list[str]) -> None:
        rest = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        super().__init__(f"{where}: " + "; ".join(problems[:_SHOWN] + rest))
        self.problems = tuple(problems)


def parse(content: str | bytes, where: str) -> Any:
    """The value in a text: no field twice, no NaN, no number beyond float."""
    if len(content) > LARGEST:
        raise Refused(where, [f"is larger than {LARGEST:,} bytes"])
    try:
        return json.loads(content, object_pairs_hook=_unrepeated, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as err:  # bytes that are not UTF-8 are a ValueError too
        raise Refused(where, [f"is not JSON: {err}"]) from err


def fields(raw: Any, where: str, checks: Mapping[str, Check], problems: list[str]) -> dict[str, Any]:
    """The fields that hold; for each other one a problem."""
    if not isinstance(raw, dict):
        problems.append(f"{where or 'the content'} must be an object, not {_told(raw)}")
        return {}
    prefix = f"{where}." if where else ""
    problems += [f"{prefix}{_told(name)} is not a field" for name in sorted(raw.keys() - checks.keys())]
    problems += [f"{prefix}{name} is missing" for name in checks if name not in raw]
    values = {}
    for name in (name for name in checks if name in raw):
        before = len(problems)
        value = checks[name](raw[name], f"{prefix}{name}", problems)
        if len(problems) == before:
            values[name] = value
    return values


def that(holds: Callable[[Any], bool], what: str, convert: Callable[[Any], Any] = lambda raw: raw) -> Check:
    """A check of one value."""

    def check(raw: Any, where: str, problems: list[str]) -> Any:
        if holds(raw):
            return convert(raw)
        problems.append(f"{where} must be {what}, not {_told(raw)}")
        return None

    return check


def number(low: float, high: float, what: str) -> Check:
    return that(lambda raw: is_number(raw) and low <= raw <= high, what, float)


def whole(low: int, high: int, what: str) -> Check:
    return that(lambda raw: is_number(raw) and isinstance(raw, int) and low <= raw <= high, what)


def text(pattern: str, what: str) -> Check:
    whole_text = re.compile(pattern)
    return that(lambda raw: isinstance(raw, str) and bool(whole_text.fullmatch(raw)), what)


def choice(kind: type[StrEnum]) -> Check:
    values = [str(member) for member in kind]
    return that(lambda raw: isinstance(raw, str) and raw in values, f"one of {', '.join(values)}", kind)


def moment() -> Check:
    return that(_is_moment, "a time with its zone", datetime.fromisoformat)


def maybe(inner: Check) -> Check:
    """Null, or what `inner` says."""
    return lambda raw, where, problems: None if raw is None else inner(raw, where, problems)


def record(kind: Callable[..., Any], checks: Mapping[str, Check]) -> Check:
    """An object with exactly these fields, made into `kind`."""

    def check(raw: Any, where: str, problems: list[str]) -> Any:
        values = fields(raw, where, checks, problems)
        return kind(**values) if len(values) == len(checks) else None

    return check


def several(inner: Check, most: int) -> Check:
    def check(raw: Any, where: str, problems: list[str]) -> tuple[Any, ...]:
        if not isinstance(raw, list) or not 1 <= len(raw) <= most:
            problems.append(f"{where} must be a list of 1 to {most}, not {_told(raw)}")
            return ()
        return tuple(inner(item, f"{where}[{index}]", problems) for index, item in enumerate(raw))

    return check


def is_number(raw: Any) -> bool:
    return isinstance(raw, int | float) and not isinstance(raw, bool)


def _is_moment(raw: Any) -> bool:
    try:
        return isinstance(raw, str) and datetime.fromisoformat(raw).tzinfo is not None
    except ValueError:
        return False


def _told(raw: Any) -> str:
    """A hostile value in few words."""
    if isinstance(raw, dict):
        return "an object"
    if isinstance(raw, list):
        return f"a list of {len(raw)}"
    if raw is None:
        return "null"
    return told if len(told := repr(raw)) <= 60 else f"{told[:60]}…"


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(_REPEATED)
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:60]} is not a finite number")
    return value
