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
"""What is there against what should be: bringing shares back on line."""

from collections.abc import Iterable, Mapping
import dataclasses

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import brick_repair
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

#: Seconds to wait for a share that somebody is at work on.
_PATIENCE = 1.0


@dataclasses.dataclass(frozen=True)
class Unmounted:
    """The bricks that should be mounted and are not, by name of the node."""

    #: The tags of their LVs.
    tags: Mapping[str, frozenset[str]]
    #: Why nodes could not be asked. They are not asked again, share by share.
    failed: Mapping[str, Exception]


class Healer:
    """Brings what should be on line, on line."""

    def __init__(self, the_services: services.Services) -> None:
        self._cluster = the_services.cluster
        self._volumes = the_services.volumes
        self._sources = the_services.clone_sources
        self._locks = the_services.locks
        #: What was said to be wrong, by what it is wrong with.
        self._told: dict[str, str] = {}

    def heal(
        self, share_ids: Iterable[str]
    ) -> dict[str, gluster.Volume | errors.Error]:
        """Bring shares on line: repair bricks, start volumes and bricks.

        What clones that were killed have left of their snapshots is put in
        order. Never raises on account of the cluster.

        :return: for every share its volume, or what is wrong with it.
        """
        wanted = list(share_ids)
        unmounted = self._unmounted()
        healed: dict[str, gluster.Volume | errors.Error] = {}
        for share_id in wanted:
            try:
                # Who has the lock may be deleting it.
                with self._locks.share(share_id, timeout=_PATIENCE):
                    healed[share_id] = self._heal(share_id, unmounted)
            except (errors.Held, errors.Busy) as error:
                # Nothing is known to be wrong with it.
                LOG.info('Share %s is being worked on: %s', share_id, error)
                healed[share_id] = error
            except errors.Error as error:
                self._tell(f'share {share_id}', error)
                healed[share_id] = error
            except Exception as error:
                # The others are looked at all the same.
                LOG.exception('Share %s could not be looked at', share_id)
                healed[share_id] = errors.Unsettled(
                    f'share {share_id}', f'it could not be looked at: {error}'
                )
            else:
                self._tell(f'share {share_id}', None)
        self._sources.clean_up_volumes(
            {names.volume(share_id) for share_id in wanted}
        )
        return healed

    def _unmounted(self) -> Unmounted:
        """Return the bricks that should be mounted and are not."""
        seen, failed = self._cluster.try_everywhere(
            lambda node: frozenset(
                tag for lv in bricks.unmounted(node) for tag in lv.tags
            )
        )
        for node, error in failed.items():
            LOG.error('Bricks on node %s stay as they are: %s', node, error)
        return Unmounted(seen, failed)

    def _heal(self, share_id: str, unmounted: Unmounted) -> gluster.Volume:
        """Have started what is down; it is not waited for.

        A share whose node or disk is gone goes on with its other copies,
        and must not keep the next one waiting.
        """
        volume = self._volumes.get_in_use(share_id)
        name, tag = volume.name, names.share_tag(share_id)
        down = self._down(volume)
        bad = {
            node: path
            for node, path in self._bricks(volume).items()
            if node in down or tag in unmounted.tags.get(node.name, ())
        }
        _, failed = self._cluster.try_everywhere(
            lambda node: brick_repair.repair(
                node,
                share_id,
                volume,
                bad[node],
                lambda: self._cluster.read(brick_ownership.read_known_objects),
            ),
            [node for node in bad if node.name not in unmounted.failed],
        )
        failed |= {
            node.name: unmounted.failed[node.name]
            for node in bad
            if node.name in unmounted.failed
        }
        for node, path in bad.items():
            self._tell(
                f'brick {path} on node {node.name}', failed.get(node.name)
            )
        if not volume.is_started:
            if volume.options.get(names.OPTION_SHARE) != share_id:
                raise errors.Unsettled(
                    f'volume {name}',
                    'it is stopped and its options were reset; it is started '
                    'when maintenance has set its access lists',
                )
            LOG.warning('Volume %s is stopped; starting it', name)
        elif well := [node for node in down if node.name not in failed]:
            LOG.warning(
                'Starting bricks of volume %s that are down: %s',
                name,
                ', '.join(f'{node.name}:{bad[node]}' for node in well),
            )
        else:
            return volume
        self._cluster.change(
            # With force also without those that cannot be started.
            lambda line: line.start_volume(
                name, force=volume.is_started or bool(failed)
            ),
            lambda line: False,
        )
        return volume

    def _bricks(self, volume: gluster.Volume) -> dict[cluster.Node, str]:
        """Give the paths of the bricks on the nodes that are known."""
        return {
            member.node: brick.path
            for brick in volume.bricks
            for member in self._cluster.members()
            if member.uuid == brick.node_uuid
        }

    def _down(self, volume: gluster.Volume) -> list[cluster.Node]:
        """Give the nodes on which a brick is down.

        Nodes that are down themselves are not told of by glusterd.
        """
        if not volume.is_started:
            return list(self._bricks(volume))
        online = {
            brick.node_uuid: brick.online
            for brick in self._cluster.read(
                lambda line: line.brick_status(volume.name)
            )
        }
        return [
            member.node
            for member in self._cluster.members()
            if online.get(member.uuid) is False
        ]

    def _tell(self, what: str, error: Exception | None) -> None:
        """Say what is wrong with something once, and again if it differs."""
        text = str(error) if error else ''
        if text and self._told.get(what) != text:
            # The text may begin with that already.
            said = text.removeprefix(f'{what}: ')
            LOG.error('The %s is not on line: %s', what, said)
        if text:
            self._told[what] = text
        else:
            self._told.pop(what, None)
