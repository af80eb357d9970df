"""Takes days together class by class, and tells whether each class has rows enough. Pure.

A class of which a day has five rows says little on that day, and one of which it has none says nothing; over several
days it does. So what each class adds to the score is pooled over days before the classes are added up.
"""

from collections.abc import Iterable
from functools import reduce

import numpy as np

from mlops_assets.domain.quality.records import ClassPart

ENOUGH = 20  # rows of a class: with fewer their scatter is hardly known

Parts = tuple[ClassPart, ...]


def pool_parts(days: Iterable[Parts]) -> Parts:
    """The parts of all days as those of one."""
    return tuple(reduce(_join, parts) for parts in zip(*days, strict=True))


def add_parts(parts: Parts) -> tuple[float, float]:
    """The score and its standard error; infinite while a class has a single row."""
    variance = sum(each.squares / (each.rows * (each.rows - 1)) if each.rows > 1 else np.inf for each in parts)
    return sum(each.mean for each in parts), float(np.sqrt(variance))


def list_scarce(parts: Parts) -> list[int]:
    """The places of classes that have too few rows."""
    return [place for place, each in enumerate(parts) if each.rows < ENOUGH]


def _join(one: ClassPart, other: ClassPart) -> ClassPart:
    rows = one.rows + other.rows
    if not (one.rows and other.rows):
        return one if one.rows else other
    apart = other.mean - one.mean
    squares = one.squares + other.squares + apart**2 * one.rows * other.rows / rows
    return ClassPart(rows, one.mean + apart * other.rows / rows, squares)
