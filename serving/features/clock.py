"""What time it is for a model: wall time, or for one that lives in the past the moment its replay has reached.

Logs are cut by day in the model's time. The request path asks for it: a clock's file is looked at a few times a second.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

Now = Callable[[str], float]  # model → seconds since 1970

_FRESH = 0.05  # seconds in which a clock is not looked at again; a demonstration's day takes a few of them
_log = logging.getLogger("serving.features.clock")


class _Seen(NamedTuple):
    looked: float  # wall time
    changed: int | None  # of the file, in nanoseconds; None: there is none
    moment: float | None  # None: wall time


def open_model_clock(folder: Path, wall: Callable[[], float] = time.time) -> Now:
    """The clocks in a folder: `<model>.txt` holds a moment in ISO format."""
    seen: dict[str, _Seen] = {}

    def now(model: str) -> float:
        moment = wall()
        last = seen.get(model)
        if last is None or not 0 <= moment - last.looked < _FRESH:
            last = seen[model] = _look(folder / f"{model}.txt", last, moment)
        return moment if last.moment is None else last.moment

    return now


def _look(file: Path, last: _Seen | None, wall: float) -> _Seen:
    try:
        changed = file.stat().st_mtime_ns
        if last and last.changed == changed:
            return last._replace(looked=wall)
        return _Seen(wall, changed, datetime.fromisoformat(file.read_text()).astimezone(UTC).timestamp())
    except FileNotFoundError:
        return _Seen(wall, None, None)
    except (OSError, ValueError) as err:
        # No request fails for its time in the log: the clock goes on as it was, and the log of the process says so.
        _log.error("%s: tells no time (%s); write a moment in ISO format, or remove it", file, err)
        return last._replace(looked=wall) if last else _Seen(wall, None, None)
