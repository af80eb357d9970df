"""Divides rows into train, validation and test. Time decides where there is time; nothing here is random.

Test rows are the latest. Between the parts lies a gap as long as a label takes, so that no label of an earlier part
was unknown when the later part began. Rows that have neither time nor order are divided by a hash of their identity.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

PARTS = ("train", "validation", "test")
REST = "rest"  # rows in a gap, or of a group that an earlier part has: a refit learns them too
_IN_REST = -1


class SplitError(ValueError):
    """The rows cannot be divided as declared."""


@dataclass(frozen=True)
class Split:
    """`part[i]` is 0, 1 or 2 (an index into PARTS) or -1 where row i is in the rest, with the counts of why."""

    part: np.ndarray
    left_out: Mapping[str, int]

    def rows(self, name: str) -> np.ndarray:
        """Positions of the rows of one part, or of the rest, in their order."""
        return np.flatnonzero(self.part == (_IN_REST if name == REST else PARTS.index(name)))


def split_by_time(
    times: np.ndarray,
    *,
    validation: float,
    test: float,
    gap: timedelta = timedelta(0),
    groups: np.ndarray | None = None,
) -> Split:
    """Split at two moments chosen so that the shares come out as near as ties allow. `times`: microseconds [n]."""
    if not len(times):
        raise SplitError("there are no rows to split: is any partition materialised, and are its labels known?")
    ordered = np.sort(times)
    test_begins = ordered[min(round(len(times) * (1 - test)), len(times) - 1)]
    pause = int(gap / timedelta(microseconds=1))
    # the gaps are taken from the training rows alone: a long one must not swallow the validation rows
    open_rows = ordered[: np.searchsorted(ordered, test_begins - pause)]
    wanted = round(len(times) * (1 - test)) - round(len(times) * (1 - test - validation))
    validation_begins = open_rows[max(len(open_rows) - wanted, 0)] if len(open_rows) else test_begins
    part = np.full(len(times), _IN_REST, dtype=np.int8)
    part[times < validation_begins - pause] = 0
    part[(times >= validation_begins) & (times < test_begins - pause)] = 1
    part[times >= test_begins] = 2
    left_out = {"in a gap": int((part == _IN_REST).sum())}
    if groups is not None:
        left_out["group stands in an earlier part"] = _keep_groups_apart(part, groups)
    return _whole(Split(part, left_out), f"{len(np.unique(times))} distinct times, a gap of {gap}")


def split_by_identity(identities: np.ndarray, *, validation: float, test: float, seed: int) -> Split:
    """Split rows without time by a hash of what they are (or of their group), so that a row never changes sides."""
    unique, inverse = np.unique(identities.astype(str), return_inverse=True)
    place = np.array([unit_interval(f"{seed}:{identity}") for identity in unique])[inverse]
    part = np.where(place < test, 2, np.where(place < test + validation, 1, 0)).astype(np.int8)
    return _whole(Split(part, {}), f"{len(unique)} distinct identities")


def _keep_groups_apart(part: np.ndarray, groups: np.ndarray) -> int:
    """Move rows of a later part whose group an earlier part already has to the rest; returns how many."""
    _, codes = np.unique(groups.astype(str), return_inverse=True)
    first = np.full(codes.max() + 1, len(PARTS), dtype=np.int8)
    inside = part != _IN_REST
    np.minimum.at(first, codes[inside], part[inside])
    repeated = inside & (part != first[codes])
    part[repeated] = _IN_REST
    return int(repeated.sum())


def _whole(split: Split, basis: str) -> Split:
    empty = [name for name in PARTS if not len(split.rows(name))]
    if empty:
        raise SplitError(
            f"{len(split.part)} rows ({basis}) leave no row for: {', '.join(empty)}. "
            f"Left out: {dict(split.left_out)}. Take a longer window, smaller validation, test or gap, or keep "
            "returning groups (training.returning)."
        )
    return split


def unit_interval(text: str) -> float:
    """A number from 0 to 1 that only the text decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
