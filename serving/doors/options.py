"""The options that a request may name on every door: the key that routes it and its deadline."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from serving.problems import InvalidInput, Problem

LONGEST_KEY = 200  # characters
LONGEST_DEADLINE = 60_000.0  # milliseconds: a caller holds a place in the queue no longer
KEY_RULE = f"is a text of 1 to {LONGEST_KEY} characters"
DEADLINE_RULE = f"is a number of milliseconds from 1 to {LONGEST_DEADLINE:.0f}"


class Options(NamedTuple):
    key: str | None
    deadline: float | None  # seconds


def read_options(parameters: Mapping[str, Any]) -> Options:
    """Reads `key`, `deadline_ms` and the protocol's own `timeout` (microseconds); ignores other parameters."""
    key, deadline, problems = parameters.get("key"), _milliseconds(parameters), []
    if key is not None and not is_key(key):
        problems.append(Problem("key", None, KEY_RULE))
    if deadline is not None and not 1 <= deadline <= LONGEST_DEADLINE:
        problems.append(Problem("deadline_ms", None, DEADLINE_RULE))
    if problems:
        raise InvalidInput(problems)
    return Options(key, None if deadline is None else deadline / 1_000)


def is_key(key: Any) -> bool:
    return isinstance(key, str) and 0 < len(key) <= LONGEST_KEY


def header_key(value: bytes | None) -> str | None:
    """The key that the header or the metadata `x-request-key` names."""
    return value[:LONGEST_KEY].decode("latin-1") if value else None


def _milliseconds(parameters: Mapping[str, Any]) -> float | None:
    """The deadline; NaN where it is not a number."""
    for name, unit in (("deadline_ms", 1.0), ("timeout", 1e-3)):
        value = parameters.get(name)
        if value is not None:
            return value * unit if type(value) in (int, float) else float("nan")
    return None
