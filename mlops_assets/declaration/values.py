"""The kinds of value that a declaration is made of, and the base of its records. Knows no single field."""

import difflib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, NamedTuple, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

Value = TypeVar("Value")
FieldPath = tuple[str | int, ...]  # of a field, from the top of the declaration

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = r"^\d+(\.\d+)?[smhdw]$"
_SOME_DURATION = r"^(?=.*[1-9])\d+(\.\d+)?[smhdw]$"
_MOMENT = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_A_DURATION = "a number and a unit (s, m, h, d or w), such as 36h or 14d"
_A_MOMENT = "a date or a time in ISO form, such as 2024-01-31 or 2024-01-31T06:00:00Z"


class FieldProblem(NamedTuple):
    """What is wrong with a declaration, and where."""

    path: FieldPath
    message: str  # with the value, and what would be right


class DeclaredPart(BaseModel):
    """A part of the declaration. It is frozen and strict, and it refuses fields that it does not have."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_fields(cls, values: Any) -> Any:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        names = {*known, *cls.model_fields}
        if isinstance(values, Mapping) and (unknown := [name for name in values if name not in names]):
            raise refusal({name: f"There is no such field: {_nearest(str(name), known)}" for name in unknown}, values)
        return values

    def with_changes(self, **changes: Any) -> Self:
        """A copy with these fields changed, validated like any other declaration."""
        return self.model_validate({**dict(self), **changes})


def refusal(messages: Mapping[str, str], values: Mapping[str, Any]) -> ValidationError:
    """The error that refuses these fields of a part, each at its own place."""
    errors = [
        InitErrorDetails(type=PydanticCustomError("refused", "{why}", {"why": why}), loc=(name,), input=values[name])
        for name, why in messages.items()
    ]
    return ValidationError.from_exception_data("declaration", errors)


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}."


def duration(value: str | timedelta) -> timedelta:
    """The length of time that `90s`, `30m`, `36h`, `14d` or `2w` stands for."""
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not re.match(_DURATION, value):
        raise ValueError(f"{value!r} is not a duration; write {_A_DURATION}.")
    return timedelta(**{_UNITS[value[-1]]: float(value[:-1])})


def as_duration(value: timedelta) -> str:
    """The length of time as a declaration writes it: `36h`, `14d`."""
    seconds = value.total_seconds()
    unit, length = next(
        each for each in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)) if seconds % each[1] == 0 or each[1] == 1
    )
    return f"{seconds / length:g}{unit}"


def moment(value: str | date | datetime) -> datetime:
    """An ISO date or time as UTC; without a zone it is taken as UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as err:
            raise ValueError(f"{value!r} is not a moment; write {_A_MOMENT}.") from err
    if not isinstance(value, date):
        raise ValueError(f"{value!r} is not a moment; write {_A_MOMENT}.")
    if not isinstance(value, datetime):
        value = datetime.combine(value, datetime.min.time(), UTC)
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def as_text(value: str | float | bool) -> str:
    """A YAML value as the text that data is compared with: `true`, `1`, `yes`."""
    if not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not a single value; write a text, a number, true or false.")
    return str(value).lower() if isinstance(value, bool) else str(value)


def text_like(pattern: str, right: str) -> Any:
    """The annotation of a text that has to match `pattern`; `right` says in words what that is."""

    def matching(value: str) -> str:
        if not re.search(pattern, value):
            raise ValueError(f"{value!r} is not {right}.")
        return value

    return _Checked(matching, {"type": "string", "pattern": pattern, "$comment": right})


class _Checked:
    """Checks a text at run time by a function, and in the YAML by a JSON schema."""

    def __init__(self, check: Callable[[str], str], schema: dict[str, Any]) -> None:
        self._check, self._schema = check, schema

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return handler.generate_schema(Annotated[source, AfterValidator(self._check), WithJsonSchema(self._schema)])


def _valid_unless_none(value: Any, handler: Callable[[Any], Any]) -> Any:
    return None if value is None else handler(value)


# A value that the whole declaration fills in where it is left out, so that readers of the record always find one.
Completed = Annotated[Value, WrapValidator(_valid_unless_none)]
LEFT_OUT: Any = None  # the default of such a value, until it is filled in
Items = Annotated[tuple[Value, ...], Field(strict=False)]  # a YAML list
Choice = Annotated[Value, Field(strict=False)]  # an enumeration, written as its value
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
SomeShare = Annotated[float, Field(gt=0, le=1)]
InnerShare = Annotated[float, Field(gt=0, lt=1)]
SmallRisk = Annotated[float, Field(gt=0, lt=0.5)]
Confidence = Annotated[float, Field(gt=0.5, lt=1)]
Count = Annotated[int, Field(ge=1)]
Duration = Annotated[
    timedelta,
    Field(ge=timedelta(0)),
    BeforeValidator(duration),
    PlainSerializer(as_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": _DURATION, "$comment": _A_DURATION}),
]
SomeDuration = Annotated[
    timedelta,
    Field(gt=timedelta(0)),
    BeforeValidator(duration),
    PlainSerializer(as_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": _SOME_DURATION, "$comment": f"{_A_DURATION}, above 0"}),
]
Moment = Annotated[
    datetime,
    BeforeValidator(moment),
    WithJsonSchema({"type": "string", "pattern": _MOMENT, "$comment": _A_MOMENT}),
]
Text = Annotated[str, BeforeValidator(as_text), WithJsonSchema({"type": ["string", "number", "boolean"]})]
