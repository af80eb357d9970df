"""A bounded cache of predictions, keyed by the bundle's digest and the packed row. Off unless a size is given."""

from collections import OrderedDict

import numpy as np

from serving.rows.reader import Packed

_MOST_ROWS = 16  # larger requests are not worth remembering

Key = tuple[str, bytes, tuple[str, ...]]


class Cache:
    """Least recently used answers go first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Key, np.ndarray] = OrderedDict()

    def key(self, digest: str, packed: Packed) -> Key | None:
        if not self._most or len(packed.numbers) > _MOST_ROWS:
            return None
        return (digest, packed.numbers.tobytes(), tuple(packed.categories.ravel().tolist()))

    def get(self, key: Key) -> np.ndarray | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Key, scores: np.ndarray) -> None:
        self._kept[key] = scores
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
