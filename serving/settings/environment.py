"""Reads settings from an environment's texts and collects everything that is wrong with them. Knows no setting."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class WrongSettings(ValueError):
    """Settings that cannot be used; the message lists all of them."""


class Asked:
    """Reads variables and collects what is wrong with them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._problems: list[str] = []

    def check(self) -> None:
        if self._problems:
            raise WrongSettings("the endpoint cannot start: " + "; ".join(self._problems))

    def text(self, *names: str) -> str:
        """The first of these that is set."""
        return next((text for name in names if (text := self._environment.get(name, "").strip())), "")

    def wrong(self, problem: str) -> None:
        self._problems.append(problem)

    def path(self, name: str) -> Path | None:
        text = self._environment.get(name, "")
        return Path(text).resolve() if text else None

    def one(self, name: str, convert: Callable[[str], Any], choices: str, default: Any) -> Any:
        """What `convert` makes of the text; `choices` says what may stand there."""
        text = self._environment.get(name, "")
        try:
            return convert(text) if text else default
        except (KeyError, ValueError):
            shown = "" if "://" in text else f"={text!r}"  # a URL may hold a secret
            self._problems.append(f"{name}{shown} is none of {choices}")
            return default

    def port(self, name: str, default: int) -> int:
        """0 or off: none."""
        return 0 if self.text(name) == "off" else self.whole(name, default, 0, 65_535)

    def whole(self, name: str, default: int | None, low: int, high: int) -> Any:
        return self._within(name, int, default, low, high, "whole number")

    def number(self, name: str, default: float, low: float, high: float) -> float:
        return self._within(name, float, default, low, high, "number")

    def _within(
        self, name: str, convert: Callable[[str], Any], default: Any, low: float, high: float, what: str
    ) -> Any:
        text = self._environment.get(name, "")
        if not text:
            return default
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            self._problems.append(f"{name}={text!r} is no {what} from {low:g} to {high:g}")
            return default
        return value
