"""The errors that a caller sees: what is wrong with a request, and the status it gets. Knows no transport."""

from collections.abc import Sequence
from typing import NamedTuple

MOST_PROBLEMS = 50  # in one answer
RETRY = 1.0  # seconds after which a caller may try again


class Problem(NamedTuple):
    """One violation. `field` and `row` are None where it concerns the whole request."""

    field: str | None
    row: int | None
    reason: str


class RequestRefused(Exception):
    """The request gets no prediction. `status` is the HTTP status; `kind` the label of the error metric."""

    status = 400
    kind = "invalid"
    is_counted = False  # in the metrics

    def __init__(
        self,
        problems: Sequence[Problem] | str,
        *,
        status: int | None = None,
        kind: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        listed = [Problem(None, None, problems)] if isinstance(problems, str) else list(problems)
        super().__init__("; ".join(_sentence(problem) for problem in listed[:MOST_PROBLEMS]))
        self.problems = listed[:MOST_PROBLEMS]
        self.omitted = max(0, len(listed) - MOST_PROBLEMS)
        self.status = status or self.status
        self.kind = kind or self.kind
        self.retry_after = retry_after

    def at_places(self, places: Sequence[int]) -> "RequestRefused":
        """The same refusal where the rows are these rows of a larger request."""
        moved = [p if p.row is None else p._replace(row=places[p.row]) for p in self.problems]
        whole = type(self)(moved, status=self.status, kind=self.kind, retry_after=self.retry_after)
        whole.omitted, whole.is_counted = self.omitted, self.is_counted
        return whole


class InvalidInput(RequestRefused):
    """The rows break the model's contract."""

    status = 422


class NotFound(RequestRefused):
    status = 404
    kind = "not_found"


class Overloaded(RequestRefused):
    """The queue is full. The caller may try again later."""

    status = 429
    kind = "overloaded"


class Unavailable(RequestRefused):
    """Nothing is loaded that could answer."""

    status = 503
    kind = "unavailable"


class TooLate(RequestRefused):
    """The deadline passed before the answer."""

    status = 504
    kind = "deadline"


def _sentence(problem: Problem) -> str:
    where = [problem.field or "''"] if problem.field is not None else []
    where += [f"row {problem.row}"] if problem.row is not None else []
    return f"{', '.join(where)}: {problem.reason}" if where else problem.reason
