# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""Repeat an attempt with pauses in between, until a deadline."""

from collections.abc import Iterator
import random
import time

from manila_glusterfs_clone import errors


class Attempts:
    """The attempts at one thing, with pauses in between.

    Iterating makes one attempt per turn. It ends after an attempt that
    passed the deadline, so at least one attempt is made. A caller with an end
    condition of its own calls :meth:`pause` in its own loop instead.

    :param seconds: the time from now to the deadline.
    :param pause: seconds between the first two attempts. Each pause is
        twice the one before.
    :param longest_pause: the upper limit of a pause; ``pause`` if None.
    :param jitter: whether to shorten each pause at random, to half of it at
        most, so that several services do not collide at each attempt.
    """

    def __init__(
        self,
        seconds: float,
        pause: float,
        longest_pause: float | None = None,
        *,
        jitter: bool = False,
    ) -> None:
        self._begun = time.monotonic()
        self._seconds = seconds
        self._longest_pause = pause if longest_pause is None else longest_pause
        self._jitter = jitter
        self._last_failure: errors.Error | None = None
        self.next_pause = pause

    def __iter__(self) -> Iterator[None]:
        while True:
            yield
            if self.is_over:
                return
            self.pause()

    @property
    def elapsed(self) -> float:
        """Return the seconds since the first attempt began."""
        return time.monotonic() - self._begun

    @property
    def seconds_left(self) -> float:
        """Return the seconds until the deadline, 0 after it."""
        return max(0.0, self._seconds - self.elapsed)

    @property
    def is_over(self) -> bool:
        """Return whether the deadline has passed."""
        return self.elapsed >= self._seconds

    @property
    def last_failure(self) -> errors.Error:
        """Return why the last attempt failed.

        :raises LookupError: no attempt was recorded as failed.
        """
        if self._last_failure is None:
            raise LookupError('no attempt has failed')
        return self._last_failure

    def record(self, failure: errors.Error) -> None:
        """Note why an attempt failed."""
        self._last_failure = failure

    def pause(self, seconds: float | None = None) -> None:
        """Sleep until the next attempt.

        :param seconds: sleep that long; the pauses do not grow then.
        """
        if seconds is not None:
            time.sleep(seconds)
            return
        factor = random.uniform(0.5, 1.0) if self._jitter else 1.0  # noqa: S311
        time.sleep(self.next_pause * factor)
        self.next_pause = min(self.next_pause * 2, self._longest_pause)
