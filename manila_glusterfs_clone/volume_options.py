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
"""Options of a volume, on every node.

glusterd leaves a peer out of a transaction that begins while it is let in
again, and does not tell it later: it counts as connected, and its brick goes
by the options of before (by the logs of a ``volume set`` on 10.3, made as a
node came back; its brick refused a client that had just been let in). So each
node is asked.
"""

from collections.abc import Mapping
import random
import time

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import gluster

LOG = log.getLogger(__name__)

#: Seconds between two tries, at first and at most; jitter halves them.
_PAUSE, _LONGEST_PAUSE = 0.5, 10.0


def hold(volume: gluster.Volume | None, options: Mapping[str, str]) -> bool:
    """Whether a volume has these options, with these values."""
    return (
        volume is not None and options.items() <= dict(volume.options).items()
    )


def write(
    nodes: cluster.Cluster,
    volume: gluster.Volume,
    options: Mapping[str, str],
) -> dict[str, Exception]:
    """Set options of a volume, and see that every node knows of it.

    What a node lacks is set again, until the time for settling has passed.
    Those that are not connected are told by their peers once they are.

    :param volume: as the writer just told of it.
    :return: why nodes could not be asked, by their names.
    :raises errors.Unsettled: a node still knows nothing of it.
    """
    name = volume.name
    deadline = time.monotonic() + nodes.settle_timeout
    pause = _PAUSE

    def is_written(line: gluster.Gluster) -> bool:
        return hold(line.volume(name), options)

    def put(line: gluster.Gluster) -> None:
        line.set_options(name, options)

    def is_known(node: cluster.Node) -> bool:
        if is_written(node.gluster):
            return True
        # One that was installed anew knows nothing of any volume.
        nodes.require_majority(node)
        return False

    if not hold(volume, options):
        nodes.change(put, is_written)
    while True:
        connected = {
            peer.uuid
            for peer in nodes.read(lambda line: line.peers())
            if peer.connected
        }
        done, failed = nodes.try_everywhere(
            is_known,
            [m.node for m in nodes.members() if m.uuid in connected],
        )
        for node, error in failed.items():
            if not isinstance(error, errors.Error):
                raise error
            LOG.warning(
                'Node %s does not tell of volume %s: %s', node, name, error
            )
        behind = ', '.join(node for node in done if not done[node])
        late = time.monotonic() >= deadline
        # One that was just started may tell its volumes in part.
        settled = late or not any(
            isinstance(error, errors.Busy | errors.Garbled)
            for error in failed.values()
        )
        if settled and not behind:
            return failed
        if late:
            raise errors.Unsettled(
                f'volume {name}',
                f'options of it were set, and glusterd on {behind} still '
                f'knows nothing of that; restart glusterd there, and try '
                f'again',
            )
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        pause = min(pause * 2, _LONGEST_PAUSE)
        if behind:
            LOG.info('Setting options of %s again, for %s', name, behind)
            nodes.change(put, is_written)
