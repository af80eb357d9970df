"""What bandit arms have earned, as routing needs it: in memory, renewed from each model's book of rewards.

Every worker folds the same feedback log into the same book, so that all of them see what any of them was told.
"""

import logging
import sqlite3
import threading
from pathlib import Path

from serving.contract.release import BANDITS, Release
from serving.models.reward_book import RewardBook
from serving.models.router import BanditState, start_state
from serving.models.served_models import ServedModel

_log = logging.getLogger("serving.models.bandits")


class Bandits:
    """States by model. `books`: folder of the books; `feedback`: folder of the feedback log."""

    def __init__(self, books: Path, feedback: Path) -> None:
        self._folder, self._feedback = books, feedback
        self._settling = threading.Lock()
        self._books: dict[str, RewardBook] = {}
        self._states: dict[str, tuple[int, BanditState]] = {}  # model → generation and state

    def state(self, release: Release) -> BanditState | None:
        """What is known of this release's arms; None where its strategy learns nothing."""
        if release.strategy not in BANDITS:
            return None
        generation, state = self._states.get(release.model, (-1, None))
        return state if generation == release.generation else start_state(release, state)

    def settle(self, served: list[ServedModel]) -> None:
        """Count the feedback that came since, of all workers, and note whose requests new generations will be.

        Called by a thread, which comes again where a book cannot be written.
        """
        with self._settling:
            for model in served:
                if model.release.strategy in BANDITS:
                    self._settle(model)

    def _settle(self, model: ServedModel) -> None:
        release = model.release
        try:
            state = self._book(release.model).fold(release, {arm.tail: arm.name for arm in model.arms.values()})
            self._states[release.model] = (release.generation, state)
        except (OSError, sqlite3.Error) as err:
            _log.error("%s: rewards wait, their book cannot be written: %s", release.model, err)

    def _book(self, model: str) -> RewardBook:
        if model not in self._books:
            self._books[model] = RewardBook(self._folder / f"{model}.db", self._feedback / model)
        return self._books[model]
