"""What bandit arms have earned, on disk: shared by the workers of a machine, alive after a restart.

Each reward is one read-change-write under a lock; other workers see it when they look again. Routing reads the
state in memory only.
"""

import fcntl
import logging
from pathlib import Path

from serving.contract.atomic import replace_file
from serving.contract.release import BANDITS, Release
from serving.contract.validation import Refused
from serving.models.router import BanditState, add_reward, start_state, state_from_json, state_to_json

_log = logging.getLogger("serving.models.bandits")


class Bandits:
    """States by model."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._states: dict[str, tuple[int, BanditState]] = {}  # model → generation and state
        self._waiting: list[tuple[Release, str, float]] = []

    def state(self, release: Release) -> BanditState | None:
        """What is known of this release's arms; None where its strategy learns nothing."""
        if release.strategy not in BANDITS:
            return None
        generation, state = self._states.get(release.model, (-1, None))
        return state if generation == release.generation else start_state(release, state)

    def earn(self, release: Release, arm: str, reward: float) -> None:
        """Note a reward; `settle` brings it to disk."""
        if release.strategy in BANDITS:
            self._waiting.append((release, arm, reward))

    def settle(self, releases: list[Release]) -> None:
        """Bring new rewards to disk and take up those of other workers. Called by a thread."""
        waiting, self._waiting = self._waiting, []
        for release in releases:
            if release.strategy in BANDITS:
                self._states[release.model] = (release.generation, self._settle(release, waiting))

    def _settle(self, release: Release, waiting: list[tuple[Release, str, float]]) -> BanditState:
        path = self._folder / f"{release.model}.json"
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f".{release.model}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = _read(path)
            state = start_state(release, before)
            for of, arm, reward in waiting:
                if of.model == release.model and of.generation == release.generation:
                    state = _earned(state, arm, reward)
            if state != before:
                replace_file(path, state_to_json(state).encode())
        return state


def _earned(state: BanditState, arm: str, reward: float) -> BanditState:
    try:
        return add_reward(state, arm, reward)
    except ValueError as err:
        _log.warning("a reward does not count: %s", err)
        return state


def _read(path: Path) -> BanditState | None:
    try:
        return state_from_json(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None
    except Refused as err:
        _log.error("rewards start afresh: %s", err)
        return None
