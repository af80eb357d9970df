"""Whether two places give the same features row by row. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_assets.domain.verdict import Outcome, Verdict

_NAME = "offline_equals_online"
_SHOWN = 5


def compare_rows(offline: Mapping[str, Sequence[Any]], online: Mapping[str, Sequence[Any]]) -> Verdict:
    """Every value of every column. Missing equals missing only; numbers are the same or they are not."""
    different = [
        f"{name} in row {row}: offline {left!r}, online {right!r}"
        for name in offline
        for row, (left, right) in enumerate(zip(offline[name], online[name], strict=True))
        if not _same(left, right)
    ]
    rows = max((len(values) for values in offline.values()), default=0)
    numbers = {"rows": float(rows), "columns": float(len(offline)), "different": float(len(different))}
    if not rows:
        return Verdict(_NAME, Outcome.INCONCLUSIVE, "There was no row to compare.", numbers)
    if not different:
        return Verdict(_NAME, Outcome.PASS, f"{rows} rows, {len(offline)} features each: the same.", numbers)
    more = f", and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
    return Verdict(_NAME, Outcome.FAIL, f"{'; '.join(different[:_SHOWN])}{more}.", numbers)


def _same(left: Any, right: Any) -> bool:
    return left == right or (_missing(left) and _missing(right))


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
