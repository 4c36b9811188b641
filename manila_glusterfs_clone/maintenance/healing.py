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
from manila_glusterfs_clone.cluster import brick_ownership
from manila_glusterfs_clone.cluster import bricks
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
            f'share {self.share_id}: healing failed unexpectedly; see the log '
            f'of manila-share: {self.reason}'
        )


@dataclasses.dataclass(eq=False)
class OptionsReset(errors.Unsettled):
    """A stopped volume lacks its mark, because its options were reset."""

    volume: str

    def __str__(self) -> str:
        return (
            f'volume {self.volume}: stopped, and its options were reset; the '
            f'driver starts the volume only after it has set the access '
            f'lists, in a maintenance pass or at the next start of '
            f'manila-share'
        )


@dataclasses.dataclass(frozen=True)
class Unmounted:
    """The bricks that should be mounted but are not."""

    #: By node name: the tags of the logical volumes of these bricks.
    tags: Mapping[str, frozenset[str]]
    #: By node name: the error of a node whose mounts could not be read. Such a
    #: node is not asked again for each share.
    failed: Mapping[str, Exception]


class Healer:
    """Brings the shares of one back end online."""

    def __init__(self, the_services: services.Services) -> None:
        self._cluster = the_services.cluster
        self._volumes = the_services.volumes
        self._clone_cleanup = the_services.clone_cleanup
        self._locks = the_services.locks
        #: By share id, and by name of an object: the last logged error.
        self._logged: dict[str, dict[str, str]] = {}

    def forget_errors_except_of(self, share_ids: Iterable[str]) -> None:
        """Forget the logged errors of all shares but these.

        Somebody else may have repaired the other shares. If the same error
        comes up again, it is logged again.
        """
        for share_id in self._logged.keys() - {*share_ids}:
            del self._logged[share_id]

    def heal(
        self, share_ids: Iterable[str]
    ) -> dict[str, gluster.Volume | errors.Error]:
        """Bring shares online: repair bricks, start volumes and bricks.

        Also clean up the snapshots of these shares after interrupted clones.
        If healing a share fails, continue with the next share.

        :return: by share id: the volume, or the error of healing the share.
        """
        to_heal = list(share_ids)
        unmounted = self._unmounted()
        healed: dict[str, gluster.Volume | errors.Error] = {}
        for share_id in to_heal:
            try:
                # Another operation may be deleting the share.
                with self._locks.share(share_id, timeout=_LOCK_TIMEOUT):
                    healed[share_id] = self._heal(share_id, unmounted)
            except (errors.Held, errors.Busy) as error:
                LOG.info(
                    'Share %s: busy; not healing it now: %s', share_id, error
                )
                healed[share_id] = error
            except errors.Error as error:
                self._log_once(share_id, f'share {share_id}', error)
                healed[share_id] = error
            except Exception as error:
                LOG.exception('Share %s: healing failed', share_id)
                healed[share_id] = HealingFailed(share_id, str(error))
            else:
                self._log_once(share_id, f'share {share_id}', None)
        self._clone_cleanup.clean_up_volumes(
            {names.volume(share_id) for share_id in to_heal}
        )
        return healed

    def _unmounted(self) -> Unmounted:
        """Return the bricks that should be mounted but are not."""
        tags, failed = self._cluster.try_everywhere(
            lambda node: frozenset(
                tag for lv in bricks.unmounted_lvs(node) for tag in lv.tags
            )
        )
        for node, error in failed.items():
            LOG.error(
                'Node %s: its mounts could not be read; not repairing its '
                'bricks now: %s',
                node,
                error,
            )
        return Unmounted(tags, failed)

    def _heal(self, share_id: str, unmounted: Unmounted) -> gluster.Volume:
        """Start the offline parts of a share; do not wait until they run.

        A share whose node or disk failed works with its other replicas.
        Waiting for it would delay the healing of the next share.
        """
        volume = self._volumes.get_in_use(share_id)
        name, tag = volume.name, names.share_tag(share_id)
        down = self._down(volume)
        paths = self._bricks(volume)
        broken = {
            node: path
            for node, path in paths.items()
            if node in down or tag in unmounted.tags.get(node.name, ())
        }
        _, failed = self._cluster.try_everywhere(
            lambda node: brick_repair.repair(
                node,
                share_id,
                volume,
                broken[node],
                lambda: self._cluster.read(brick_ownership.read_known_objects),
            ),
            [node for node in broken if node.name not in unmounted.failed],
        )
        failed |= {
            node.name: unmounted.failed[node.name]
            for node in broken
            if node.name in unmounted.failed
        }
        for node, path in paths.items():
            self._log_once(
                share_id,
                f'brick {path} on node {node.name}',
                failed.get(node.name),
            )
        if not volume.is_started:
            if volume.options.get(names.OPTION_SHARE) != share_id:
                raise OptionsReset(name)
            LOG.warning('Volume %s: stopped; starting it', name)
        elif repaired := [node for node in down if node.name not in failed]:
            LOG.warning(
                'Volume %s: bricks are down; starting them: %s',
                name,
                ', '.join(f'{node.name}:{broken[node]}' for node in repaired),
            )
        else:
            return volume
        self._cluster.change(
            # With force, glusterd starts the volume even if some bricks cannot
            # start.
            lambda client: client.start_volume(
                name, force=volume.is_started or bool(failed)
            ),
            lambda client: False,
        )
        return volume

    def _bricks(self, volume: gluster.Volume) -> dict[cluster.Node, str]:
        """Return the paths of bricks by node, for configured nodes only."""
        return {
            member.node: brick.path
            for brick in volume.bricks
            for member in self._cluster.members()
            if member.uuid == brick.node_uuid
        }

    def _down(self, volume: gluster.Volume) -> list[cluster.Node]:
        """Return the nodes whose brick of a volume is down.

        If the volume is stopped, these are all its nodes. Otherwise nodes that
        are down themselves are left out: glusterd does not report their
        bricks.
        """
        if not volume.is_started:
            return list(self._bricks(volume))
        online = {
            brick.node_uuid: brick.is_online
            for brick in self._cluster.read(
                lambda client: client.brick_status(volume.name)
            )
        }
        return [
            member.node
            for member in self._cluster.members()
            if online.get(member.uuid) is False
        ]

    def _log_once(
        self, share_id: str, name: str, error: Exception | None
    ) -> None:
        """Log an error of an object, unless the last one was the same.

        :param error: None if the object has no error now.
        """
        logged = self._logged.setdefault(share_id, {})
        message = str(error) if error else ''
        if message and logged.get(name) != message:
            # The message may already begin with the name of the object.
            reason = message.removeprefix(f'{name}: ')
            LOG.error('%s: not healed: %s', _capitalized(name), reason)
        if message:
            logged[name] = message
        else:
            logged.pop(name, None)


def _capitalized(name: str) -> str:
    return name[:1].upper() + name[1:]
