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
"""The copies of a replicated volume, made equal before a snapshot.

A clone forgets which copy is the right one, since the marks on the bricks
bear the name of the origin's clients. So no entry may be marked when a
snapshot is taken. A client that unmounts right after it has written leaves
marks although all copies are equal. The self-heal daemon removes them within
a second when it is asked, and by itself within ten minutes.
"""

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import retry

LOG = log.getLogger(__name__)

#: Seconds to wait for the copies to be equal; and for bricks that are down,
#: which may have just been started.
_LIMIT, _COMING_UP = 60.0, 15.0
#: Seconds between two looks, at first and at most. A look is a process of a
#: second on a slow machine.
_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
#: Seconds that asking the daemon may take, and after which it is asked again.
_ASKING, _AGAIN = 40.0, 15.0


class CopiesDiffer(errors.NotPossible):
    """The copies of a volume could not be made equal in time.

    :param bricks: those that do not answer, with their states.
    :param entries: how many entries are marked.
    :param split_brain: how many of them nobody but the operator can heal.
    """

    def __init__(
        self,
        volume: str,
        bricks: tuple[str, ...],
        entries: int,
        split_brain: int,
        reason: str,
    ) -> None:
        super().__init__(reason)
        self.args = (volume, bricks, entries, split_brain, reason)
        self.volume = volume
        self.bricks = bricks
        self.entries = entries
        self.split_brain = split_brain

    def __str__(self) -> str:
        said = f' ({self.reason})' if self.reason else ''
        if self.bricks:
            found, remedy = (
                f'bricks do not answer: {", ".join(self.bricks)}',
                f'start them with "gluster volume start {self.volume} force"',
            )
        elif self.split_brain:
            found, remedy = (
                f'{self.split_brain} entries are in split-brain',
                f'choose their right copies, "gluster volume heal '
                f'{self.volume} info split-brain" lists them',
            )
        else:
            found, remedy = (
                f'{self.entries} entries are still to be healed{said}',
                f'wait until "gluster volume heal {self.volume} info '
                f'summary" counts none',
            )
        return (
            f'volume {self.volume}: no snapshot can be taken while its '
            f'copies differ: {found}; {remedy}, and try again'
        )


def heal(nodes: cluster.Cluster, volume: str) -> None:
    """Have the copies of a replicated volume healed, and wait for it.

    :raises CopiesDiffer: they are not equal in time, or cannot be made so.
    """
    attempts = retry.Attempts(_LIMIT, _PAUSE, _LONGEST_PAUSE)
    asked_at: float | None = None
    reason = ''
    while True:
        seconds = max(_COMING_UP, attempts.seconds_left)
        state = nodes.read(lambda line: line.heal_state(volume, seconds))
        if state.is_healed:
            return
        elapsed = attempts.elapsed
        limit = _COMING_UP if state.silent_bricks else _LIMIT
        if state.split_brain or elapsed + attempts.next_pause > limit:
            raise CopiesDiffer(
                volume,
                state.silent_bricks,
                state.entries,
                state.split_brain,
                reason,
            )
        if asked_at is None or elapsed - asked_at >= _AGAIN:
            asked_at = elapsed
            LOG.info(
                'Volume %s: %d entries are to be healed; asking the self-heal '
                'daemon to do it now',
                volume,
                state.entries,
            )
            try:
                nodes.writer().gluster.heal(volume, _ASKING)
            except errors.Busy:
                asked_at = None  # the next look asks again
            except (errors.GlusterRefused, errors.Unknown) as error:
                reason = str(error)
        attempts.pause()
