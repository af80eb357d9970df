"""Reads metrics: what an endpoint exports, and which names a PromQL expression asks for."""

import re
from collections.abc import Iterable

_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
_WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset"}
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_MATCHERS = re.compile(r"\{[^}]*\}")
_RANGE = re.compile(r"\[[^\]]*\]")
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"(?<![\w:.$])([a-zA-Z_:][\w:]*)(\s*\()?")


def families(text: str) -> dict[str, tuple[str, ...]]:
    """Family → the series it is made of."""
    told = (line.split() for line in text.splitlines() if line.startswith("# TYPE"))
    kinds = {name.removesuffix("_total") if kind == "counter" else name: kind for _, _, name, kind in told}
    return {name: tuple(name + suffix for suffix in _SUFFIXES[kind]) for name, kind in kinds.items()}


def with_samples(text: str) -> set[str]:
    """Series that have a value."""
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}


def asked(expression: str) -> set[str]:
    """Names of the series that an expression asks for."""
    plain = _QUOTED.sub('""', expression)
    for pattern in (_MATCHERS, _RANGE, _GROUPING):
        plain = pattern.sub(" ", plain)
    return {name for name, called in _NAME.findall(plain) if not called and name not in _WORDS}


def asked_by(expressions: Iterable[str]) -> set[str]:
    return set().union(*map(asked, expressions))
