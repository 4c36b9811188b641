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
"""Heal shares: mount their bricks, and start their volumes and bricks."""

from collections.abc import Iterable, Mapping
import dataclasses

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import brick_mounts
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import brick_repair
from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

#: Seconds to wait for the lock of a share.
_LOCK_TIMEOUT = 1.0


@dataclasses.dataclass(eq=False)
class HealingFailed(errors.Unsettled):
    """Healing a share failed with an unexpected error."""

    share_id: str
    reason: str

    def __str__(self) -> str:
        return (
            f'share {self.share_id}: healing failed unexpectedly: '
            f'{self.reason}; see the log of manila-share'
        )


@dataclasses.dataclass(eq=False)
class OptionsReset(errors.Unsettled):
    """A stopped volume lacks its mark, because its options were reset."""

    volume: str

    def __str__(self) -> str:
        return (
            f'volume {self.volume}: stopped, and its options were reset. In a '
            f'later maintenance pass or at the next start of manila-share, '
            f'the driver sets the access lists and then starts the volume'
        )


@dataclasses.dataclass(frozen=True)
class UnmountedBricks:
    """The bricks that should be mounted but are not."""

    #: By node name: the tags of the logical volumes of these bricks.
    tags_by_node: Mapping[str, frozenset[str]]
    #: By node name: why the mounts of the node could not be read. The driver
    #: does not repair bricks on such a node now.
    errors_by_node: Mapping[str, Exception]


class Healer:
    """Brings the shares of one back end online."""

    def __init__(self, the_services: services.Services) -> None:
        self._cluster = the_services.cluster
        self._volumes = the_services.volumes
        self._clone_cleanup = the_services.clone_cleanup
        self._locks = the_services.locks
        #: By share id, then by name of the share or brick: the last logged
        #: error.
        self._logged_errors: dict[str, dict[str, str]] = {}

    def forget_errors_except_of(self, share_ids: Iterable[str]) -> None:
        """Forget the logged errors of all shares except ``share_ids``.

        If a forgotten share fails again with the same error, log the error
        again.

        :param share_ids: the ids of the shares that need healing now.
        """
        for share_id in self._logged_errors.keys() - {*share_ids}:
            del self._logged_errors[share_id]

    def heal(
        self, share_ids: Iterable[str]
    ) -> dict[str, gluster.Volume | errors.Error]:
        """Bring shares online: repair bricks, start volumes and bricks.

        Also clean up the snapshots of these shares after interrupted clones.
        If healing a share fails, continue with the next share.

        :return: by share id: the volume, or the error of its healing.
        """
        ids_to_heal = list(share_ids)
        unmounted_bricks = self._find_unmounted_bricks()
        heal_results: dict[str, gluster.Volume | errors.Error] = {}
        for share_id in ids_to_heal:
            try:
                # Lock, because another operation may be deleting the share.
                with self._locks.share(share_id, timeout=_LOCK_TIMEOUT):
                    heal_results[share_id] = self._heal(
                        share_id, unmounted_bricks
                    )
            except (errors.Held, errors.Busy) as error:
                LOG.info(
                    'Share %s: busy; not healing it now: %s', share_id, error
                )
                heal_results[share_id] = error
            except errors.Error as error:
                self._log_once(share_id, f'share {share_id}', error)
                heal_results[share_id] = error
            except Exception as error:
                LOG.exception('Share %s: healing failed', share_id)
                heal_results[share_id] = HealingFailed(share_id, str(error))
            else:
                self._log_once(share_id, f'share {share_id}', None)
        self._clone_cleanup.clean_up_volumes(
            {names.volume(share_id) for share_id in ids_to_heal}
        )
        return heal_results

    def _find_unmounted_bricks(self) -> UnmountedBricks:
        """Return the bricks that should be mounted but are not."""
        tags_by_node, errors_by_node = self._cluster.try_everywhere(
            lambda node: frozenset(
                tag
                for lv in brick_mounts.unmounted_lvs(node)
                for tag in lv.tags
            )
        )
        for node_name, error in errors_by_node.items():
            LOG.error(
                'Node %s: its mounts could not be read; not repairing its '
                'bricks now: %s',
                node_name,
                error,
            )
        return UnmountedBricks(tags_by_node, errors_by_node)

    def _heal(
        self, share_id: str, unmounted_bricks: UnmountedBricks
    ) -> gluster.Volume:
        """Repair and start the bricks of a share; do not wait until they run.

        If a node or disk has failed, waiting for its brick would delay the
        healing of the next share.
        """
        volume = self._volumes.get_in_use(share_id)
        volume_name, share_tag = volume.name, names.share_tag(share_id)
        nodes_with_brick_down = self._nodes_with_brick_down(volume)
        paths = self._brick_paths(volume)
        broken_brick_paths = {
            node: path
            for node, path in paths.items()
            if node in nodes_with_brick_down
            or share_tag in unmounted_bricks.tags_by_node.get(node.name, ())
        }
        _, repair_errors = self._cluster.try_everywhere(
            lambda node: brick_repair.repair(
                node,
                share_id,
                volume,
                broken_brick_paths[node],
                lambda: self._cluster.read(brick_ownership.read_known_objects),
            ),
            [
                node
                for node in broken_brick_paths
                if node.name not in unmounted_bricks.errors_by_node
            ],
        )
        repair_errors |= {
            node.name: unmounted_bricks.errors_by_node[node.name]
            for node in broken_brick_paths
            if node.name in unmounted_bricks.errors_by_node
        }
        for node, path in paths.items():
            self._log_once(
                share_id,
                f'brick {path} on node {node.name}',
                repair_errors.get(node.name),
            )
        if not volume.is_started:
            if volume.options.get(names.OPTION_SHARE) != share_id:
                raise OptionsReset(volume_name)
            LOG.warning('Volume %s: stopped; starting it', volume_name)
        elif repaired_nodes := [
            node
            for node in nodes_with_brick_down
            if node.name not in repair_errors
        ]:
            LOG.warning(
                'Volume %s: bricks are down; starting them: %s',
                volume_name,
                ', '.join(
                    f'{node.name}:{broken_brick_paths[node]}'
                    for node in repaired_nodes
                ),
            )
        else:
            return volume
        self._cluster.change(
            # With force, glusterd starts the volume even if some bricks cannot
            # start.
            lambda client: client.start_volume(
                volume_name, force=volume.is_started or bool(repair_errors)
            ),
            lambda client: False,
        )
        return volume

    def _brick_paths(self, volume: gluster.Volume) -> dict[cluster.Node, str]:
        """Return the path of each brick on a configured node, by node."""
        return {
            member.node: brick.path
            for brick in volume.bricks
            for member in self._cluster.members()
            if member.uuid == brick.node_uuid
        }

    def _nodes_with_brick_down(
        self, volume: gluster.Volume
    ) -> list[cluster.Node]:
        """Return the nodes on which a brick of a volume is down.

        If the volume is stopped, return all its nodes. Otherwise omit nodes
        that are down: glusterd does not report their bricks.
        """
        if not volume.is_started:
            return list(self._brick_paths(volume))
        is_online_by_uuid = {
            brick.node_uuid: brick.is_online
            for brick in self._cluster.read(
                lambda client: client.brick_status(volume.name)
            )
        }
        return [
            member.node
            for member in self._cluster.members()
            if is_online_by_uuid.get(member.uuid) is False
        ]

    def _log_once(
        self, share_id: str, name: str, error: Exception | None
    ) -> None:
        """Log an error, unless the object's last logged error was the same.

        :param name: the object: a share or brick.
        :param error: None if the object has no error now.
        """
        logged = self._logged_errors.setdefault(share_id, {})
        message = str(error) if error else ''
        if message and logged.get(name) != message:
            # The message may already begin with the name of the object.
            reason = message.removeprefix(f'{name}: ')
            LOG.error('%s: not healed: %s', _capitalize(name), reason)
        if message:
            logged[name] = message
        else:
            logged.pop(name, None)


def _capitalize(name: str) -> str:
    return name[:1].upper() + name[1:]
