"""Token buckets: how much an account may ask for, on real time."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipelines.sandbox.behavior import Behavior, Bucket


class Budget:
    """The tokens left to each account in its read and its write bucket."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._levels: dict[tuple[str, bool], tuple[float, float]] = {}

    def spend(self, user_id: str, is_read: bool, cost: int, behavior: Behavior) -> bool:
        """Take *cost* tokens if the bucket holds them; a refused call costs nothing."""
        if not behavior.rate_limits:
            return True
        bucket: Bucket = behavior.read_bucket if is_read else behavior.write_bucket
        now_s = self._monotonic()
        level, since_s = self._levels.get((user_id, is_read), (bucket.capacity, now_s))
        level = min(bucket.capacity, level + (now_s - since_s) * bucket.refill_per_s)
        is_enough = level >= cost
        self._levels[user_id, is_read] = (level - cost if is_enough else level, now_s)
        return is_enough
