"""What the arms of one model have earned, folded from the segments of the feedback log. One SQLite file a model.

Whoever holds the lock reads what is new in the segments and writes rewards, the outcomes that were counted and the
place in each segment in one transaction. So each outcome counts once, whichever worker took it and however often it
came, and a disk that is full or a process that is killed only delays it. A file that is broken is set aside, and what
the segments still hold is counted anew.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from serving.contract.release import Release, Reward
from serving.contract.segments import CLOSED, OPEN, read_batches
from serving.models.router import BanditState, Rewards, find_reward_problem, start_state

_MOST_COUNTED = 5_000_000  # outcomes whose repetition is known; an older one's counts again
_PATIENCE = 5.0  # seconds to wait for another worker
_TABLES = """
CREATE TABLE IF NOT EXISTS tails (tail TEXT PRIMARY KEY, arm TEXT NOT NULL, bundle TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rewards (kind TEXT, arm TEXT, bundle TEXT, count INTEGER, total REAL, squares REAL,
    PRIMARY KEY (kind, arm, bundle));
CREATE TABLE IF NOT EXISTS counted (number INTEGER PRIMARY KEY, outcome BLOB NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS read_batches (segment TEXT PRIMARY KEY, batches INTEGER NOT NULL);
"""
Result = TypeVar("Result")
_log = logging.getLogger("serving.models.reward_book")


class RewardBook:
    """Rewards of one model. Not for several threads at once."""

    def __init__(self, file: Path, segments: Path) -> None:
        self._file, self._segments = file, segments
        self._sizes: dict[str, int] = {}  # of segments, when they were read to their end
        self._last: tuple[Release, BanditState] | None = None

    def fold(self, release: Release, tails: Mapping[str, str]) -> BanditState:
        """Count what is new in the feedback; the state of this release after it.

        `tails`: how the ids of each arm's requests end, to be noted before the first of them is answered.
        """
        return self._healed(lambda: self._fold(release, tails))

    def _healed(self, work: Callable[[], Result]) -> Result:
        """A book that is broken is set aside; one that is locked or full is left as it is, for another try."""
        try:
            return work()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as err:
            _log.error("%s is broken and set aside: %s", self._file, err)
            self._file.replace(self._file.with_suffix(".broken"))
            self._sizes, self._last = {}, None
            return work()

    def _fold(self, release: Release, tails: Mapping[str, str]) -> BanditState:
        found = self._list_segments()
        sizes = {name: _size(path) for name, path in found.items()}
        if self._last is not None and self._last[0] is release and sizes == self._sizes:
            return self._last[1]
        start = start_state(release)
        bundles = {arm.name: arm.bundle for arm in release.answering}
        with closing(self._open()) as book, book:
            book.execute("BEGIN IMMEDIATE")
            noted = [(tail, arm, bundles[arm]) for tail, arm in tails.items() if arm in bundles]
            book.executemany("INSERT OR IGNORE INTO tails VALUES (?, ?, ?)", noted)
            earned = _read_rewards(book, start.reward)
            for name, path in found.items():
                if sizes[name] != self._sizes.get(name):
                    _fold_segment(book, name, path, (start.reward, earned))
            rows = [
                (start.reward, each.arm, each.bundle, each.count, each.total, each.squares) for each in earned.values()
            ]
            book.executemany("INSERT OR REPLACE INTO rewards VALUES (?, ?, ?, ?, ?, ?)", rows)
            book.execute("DELETE FROM counted WHERE number <= (SELECT MAX(number) FROM counted) - ?", (_MOST_COUNTED,))
        state = BanditState(start.reward, tuple(earned.get((arm.arm, arm.bundle), arm) for arm in start.arms))
        self._sizes, self._last = sizes, (release, state)
        return state

    def _list_segments(self) -> dict[str, Path]:
        """Name → file; a closed one wins over the open one that it was."""
        found = {path.name.removesuffix(OPEN): path for path in sorted(self._segments.glob(f"[!.]*{OPEN}"))}
        return found | {path.name.removesuffix(CLOSED): path for path in sorted(self._segments.glob(f"[!.]*{CLOSED}"))}

    def _open(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        book = sqlite3.connect(self._file, timeout=_PATIENCE)
        book.executescript(_TABLES)
        return book


Earned = dict[tuple[str, str], Rewards]  # arm and bundle → what they have earned


def _read_rewards(book: sqlite3.Connection, kind: Reward) -> Earned:
    rows = book.execute("SELECT arm, bundle, count, total, squares FROM rewards WHERE kind = ?", (kind,))
    return {(row[0], row[1]): Rewards(*row) for row in rows}


def _fold_segment(book: sqlite3.Connection, name: str, path: Path, into: tuple[Reward, Earned]) -> None:
    """Add the rewards of the batches that were not read before."""
    row = book.execute("SELECT batches FROM read_batches WHERE segment = ?", (name,)).fetchone()
    done = count = row[0] if row else 0
    for batch in islice(_read(path), done, None):
        count += 1
        columns = (batch[column].to_pylist() for column in ("request_id", "row", "reward"))
        for request_id, place, reward in zip(*columns, strict=True):
            if reward is not None:
                _earn(book, (request_id, place), reward, into)
    if count > done:
        book.execute("INSERT OR REPLACE INTO read_batches VALUES (?, ?)", (name, count))


def _earn(book: sqlite3.Connection, outcome: tuple[str, int], reward: float, into: tuple[Reward, Earned]) -> None:
    """Add a reward for the arm that the request's id names, unless the outcome was counted before."""
    (request_id, place), (kind, earned) = outcome, into
    tail = request_id.rpartition("-")[2]
    arm = book.execute("SELECT arm, bundle FROM tails WHERE tail = ?", (tail,)).fetchone()
    if arm is None:
        return  # no bandit's
    if problem := find_reward_problem(kind, reward):
        _log.warning("a reward does not count: %s", problem)
        return
    digest = blake2b(f"{request_id}\0{place}".encode(), digest_size=12).digest()
    if book.execute("INSERT OR IGNORE INTO counted (outcome) VALUES (?)", (digest,)).rowcount:
        name, bundle = arm
        earned[name, bundle] = earned.get((name, bundle), Rewards(name, bundle, 0, 0.0, 0.0)).plus(reward)


def _read(path: Path) -> Iterator[Any]:
    try:
        yield from read_batches(path)
    except FileNotFoundError:
        return  # closed or removed since it was listed


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
