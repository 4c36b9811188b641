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
"""Complete the self-heal of a replicated volume before a snapshot is taken.

GlusterFS marks a file if its copies may differ. The marks are extended
attributes whose names contain the name of the volume. A clone has another
name, so GlusterFS ignores the marks in the clone, and cannot know which copy
is right. Therefore a snapshot must be taken only while no file is marked.

A client that unmounts a volume right after a write leaves marks on files
whose copies are equal. The self-heal daemon removes such marks within a second
after a request, and within ten minutes without a request.
"""

import dataclasses

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry

LOG = log.getLogger(__name__)

#: Seconds to wait until no file is marked, and seconds to wait for a brick
#: that does not answer: it has possibly just started.
_HEAL_TIMEOUT, _BRICK_START_TIMEOUT = 60.0, 15.0
#: The first and the longest pause between two checks, in seconds. On a slow
#: machine each check takes one second.
_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
#: Timeout of a request to the self-heal daemon, and time between two requests,
#: in seconds.
_REQUEST_TIMEOUT, _REQUEST_INTERVAL = 40.0, 15.0


@dataclasses.dataclass(eq=False)
class CopiesDiffer(errors.NotPossible):
    """Files of a volume are marked, or bricks do not answer."""

    volume: str
    #: The bricks that do not answer, each as ``host:/path (state)``.
    bricks: tuple[str, ...]
    #: The number of marked files and directories, summed over all bricks.
    entry_count: int
    #: The number of entries in split-brain, which only an operator can heal.
    split_brain_count: int
    #: Why a request to the self-heal daemon failed; None if none failed.
    request_failure: str | None = None

    def __str__(self) -> str:
        if self.bricks:
            state = f'bricks do not answer: {", ".join(self.bricks)}'
            remedy = (
                f'start them with "gluster volume start {self.volume} force"'
            )
        elif self.split_brain_count:
            state = f'{self.split_brain_count} entries are in split-brain'
            remedy = (
                f'resolve the split-brain ("gluster volume heal '
                f'{self.volume} info split-brain" lists the entries)'
            )
        else:
            state = f'{self.entry_count} entries are not healed yet'
            if self.request_failure is not None:
                state = f'{state} ({self.request_failure})'
            remedy = (
                f'wait until "gluster volume heal {self.volume} info '
                f'summary" reports no entries'
            )
        return (
            f'volume {self.volume}: its copies possibly differ, so no '
            f'snapshot can be taken: {state}; {remedy}, and retry'
        )


def heal(the_cluster: cluster.Cluster, volume_name: str) -> None:
    """Request the self-heal of a volume, and wait until it is complete.

    :raises CopiesDiffer: self-heal is not complete in time, bricks do not
        answer, or files are in split-brain.
    """
    attempts = retry.Attempts(_HEAL_TIMEOUT, _PAUSE, _LONGEST_PAUSE)
    requested_at: float | None = None
    request_failure: str | None = None
    while True:
        timeout = max(_BRICK_START_TIMEOUT, attempts.seconds_left)
        state = the_cluster.read(
            lambda gluster: gluster.heal_state(volume_name, timeout)
        )
        if state.is_healed:
            return
        elapsed_seconds = attempts.elapsed_seconds
        limit_seconds = (
            _BRICK_START_TIMEOUT if state.silent_bricks else _HEAL_TIMEOUT
        )
        if (
            state.split_brain_count
            or elapsed_seconds + attempts.next_pause > limit_seconds
        ):
            raise CopiesDiffer(
                volume_name,
                state.silent_bricks,
                state.entry_count,
                state.split_brain_count,
                request_failure,
            )
        if (
            requested_at is None
            or elapsed_seconds - requested_at >= _REQUEST_INTERVAL
        ):
            requested_at = elapsed_seconds
            LOG.info(
                'Volume %s: %d entries are not healed yet; requesting the '
                'self-heal',
                volume_name,
                state.entry_count,
            )
            try:
                the_cluster.writer().gluster.heal(
                    volume_name, _REQUEST_TIMEOUT
                )
            except errors.Busy:
                requested_at = None  # request again after the next check
            except (errors.GlusterRefused, errors.Unknown) as error:
                request_failure = str(error)
        attempts.pause()
