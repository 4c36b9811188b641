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
"""Repeat an attempt, with pauses between attempts, until a deadline."""

from collections.abc import Iterator
import random
import time

from manila_glusterfs_clone import errors


class Attempts:
    """The deadline and the growing pauses of a retry loop.

    ``for _ in Attempts(…)`` runs its body once per attempt. After each
    attempt, the loop ends if the deadline has passed; otherwise it pauses.
    Callers without such a loop call :meth:`pause`.

    :param seconds: the seconds until the deadline.
    :param pause: the first pause, in seconds. Each later pause is twice as
        long as the pause before, up to ``longest_pause``.
    :param longest_pause: the longest pause, in seconds; None if pauses do not
        grow.
    :param jitter: whether to shorten each pause by a random factor from 0.5 to
        1, so that several services do not retry at the same time.
    """

    def __init__(
        self,
        seconds: float,
        pause: float,
        longest_pause: float | None = None,
        *,
        jitter: bool = False,
    ) -> None:
        self._begun_at = time.monotonic()
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
    def elapsed_seconds(self) -> float:
        """Return the seconds since this object was created."""
        return time.monotonic() - self._begun_at

    @property
    def seconds_left(self) -> float:
        """Return the seconds until the deadline; 0 after the deadline."""
        return max(0.0, self._seconds - self.elapsed_seconds)

    @property
    def is_over(self) -> bool:
        """Return whether the deadline has passed."""
        return self.elapsed_seconds >= self._seconds

    @property
    def last_failure(self) -> errors.Error:
        """Return the last error that was passed to :meth:`record`.

        :raises LookupError: no error was recorded.
        """
        if self._last_failure is None:
            raise LookupError('no attempt has failed')
        return self._last_failure

    def record(self, failure: errors.Error) -> None:
        """Record the error of a failed attempt."""
        self._last_failure = failure

    def pause(self, seconds: float | None = None) -> None:
        """Sleep between two attempts.

        :param seconds: the length of this pause only; None to use
            ``next_pause``, and then double it.
        """
        if seconds is not None:
            time.sleep(seconds)
            return
        factor = random.uniform(0.5, 1.0) if self._jitter else 1.0  # noqa: S311
        time.sleep(self.next_pause * factor)
        self.next_pause = min(self.next_pause * 2, self._longest_pause)
