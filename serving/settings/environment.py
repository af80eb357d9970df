"""Reads a model of settings from the texts of an environment and reports everything that is wrong with them at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from serving.contract.validation import explain, show

Folder = Annotated[Path, AfterValidator(Path.resolve)]
Texts = Mapping[str, Any]  # by variable; a nested model has a mapping of its own
Kind = TypeVar("Kind", bound="EnvironmentSettings")


class WrongSettings(ValueError):
    """Settings that cannot be used; the message lists every problem."""


class EnvironmentSettings(BaseModel):
    """The alias of each field is its variable. A variable without text counts as not set."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    @classmethod
    def read(cls: type[Kind], texts: Texts) -> Kind:
        try:
            return cls.model_validate_strings(set_texts(texts))
        except ValidationError as err:
            errors: Any = ({**error, "loc": error["loc"][-1:]} for error in err.errors(include_url=False))
            problems = "; ".join(explain(errors, _shown))
        raise WrongSettings(f"the endpoint cannot start: {problems}")  # outside: pydantic's own error shows values


def set_texts(texts: Texts) -> dict[str, Any]:
    """The variables that have a text, without the blanks around it."""
    stripped = {name: text.strip() if isinstance(text, str) else text for name, text in texts.items()}
    return {name: text for name, text in stripped.items() if text}


def _shown(text: Any) -> str:
    """The end of a sentence. An address may hold a password, also one that stands at the wrong variable."""
    return "" if any(mark in str(text) for mark in ("://", "@")) else f", not {show(text)}"
