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
"""Heal the copies of a replicated volume before a snapshot is taken.

GlusterFS marks files whose copies may differ. The marks are extended
attributes of the bricks, with the name of the origin's clients, so a clone
cannot use them and does not know which copy is right. So no file may be
marked when a snapshot is taken. A client that unmounts right after a write
leaves marks although all copies are equal. The self-heal daemon removes these
within a second when it is asked, and by itself within ten minutes.
"""

import dataclasses

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry

LOG = log.getLogger(__name__)

#: Seconds to wait for the copies to be equal, and for bricks that do not
#: answer: they may have just been started.
_HEAL_TIMEOUT, _BRICK_START_TIME = 60.0, 15.0
#: Seconds between two checks, at first and at most. A check is a process of a
#: second on a slow machine.
_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
#: Seconds that a request to the daemon may take, and until the next request.
_REQUEST_TIMEOUT, _REQUEST_INTERVAL = 40.0, 15.0


@dataclasses.dataclass(eq=False)
class CopiesDiffer(errors.NotPossible):
    """The copies of a volume could not be made equal in time."""

    volume: str
    #: The bricks that do not answer, with their states.
    bricks: tuple[str, ...]
    #: How many entries are marked.
    entries: int
    #: How many of them only the operator can heal.
    split_brain: int
    #: Why the self-heal daemon could not be asked; None if it could.
    request_failure: str | None = None

    def __str__(self) -> str:
        if self.bricks:
            state = f'bricks do not answer: {", ".join(self.bricks)}'
            remedy = (
                f'start them with "gluster volume start {self.volume} force"'
            )
        elif self.split_brain:
            state = f'{self.split_brain} entries are in split-brain'
            remedy = (
                f'choose their right copies ("gluster volume heal '
                f'{self.volume} info split-brain" lists them)'
            )
        else:
            state = f'{self.entries} entries are not healed yet'
            if self.request_failure is not None:
                state = f'{state} ({self.request_failure})'
            remedy = (
                f'wait until "gluster volume heal {self.volume} info '
                f'summary" counts none'
            )
        return (
            f'volume {self.volume}: no snapshot can be taken while its '
            f'copies differ: {state}; {remedy}, and try again'
        )


def heal(nodes: cluster.Cluster, volume: str) -> None:
    """Heal the copies of a replicated volume, and wait until they are equal.

    :raises CopiesDiffer: they are not equal in time, or cannot be healed.
    """
    attempts = retry.Attempts(_HEAL_TIMEOUT, _PAUSE, _LONGEST_PAUSE)
    requested_at: float | None = None
    request_failure: str | None = None
    while True:
        timeout = max(_BRICK_START_TIME, attempts.seconds_left)
        state = nodes.read(lambda gluster: gluster.heal_state(volume, timeout))
        if state.is_healed:
            return
        elapsed = attempts.elapsed
        limit = _BRICK_START_TIME if state.silent_bricks else _HEAL_TIMEOUT
        if state.split_brain or elapsed + attempts.next_pause > limit:
            raise CopiesDiffer(
                volume,
                state.silent_bricks,
                state.entries,
                state.split_brain,
                request_failure,
            )
        if requested_at is None or elapsed - requested_at >= _REQUEST_INTERVAL:
            requested_at = elapsed
            LOG.info(
                'Volume %s: %d entries are not healed yet; asking the '
                'self-heal daemon to heal them now',
                volume,
                state.entries,
            )
            try:
                nodes.writer().gluster.heal(volume, _REQUEST_TIMEOUT)
            except errors.Busy:
                requested_at = None  # request again after the next check
            except (errors.GlusterRefused, errors.Unknown) as error:
                request_failure = str(error)
        attempts.pause()
