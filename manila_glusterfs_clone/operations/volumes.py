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
"""Find the volumes of shares, deny all clients, and bring bricks online.

A volume gets the mark of its share in the transaction that denies all
clients. So a marked volume has denied all clients once. A volume without the
mark is a clone that still has the access lists of its origin, or belongs to
somebody else, or was reset by an operator: only Manila knows which.
"""

from collections.abc import Callable, Iterable
import dataclasses

from oslo_log import log

from manila_glusterfs_clone import cluster
from manila_glusterfs_clone.cluster import bricks
from manila_glusterfs_clone.cluster import volume_options
from manila_glusterfs_clone import errors
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone import names
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone import retry
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

#: Seconds within which the bricks of a started volume come online.
_ONLINE = 120.0

#: Self-heal copies whole files. By default it copies only the blocks that
#: differ: both sides read their copies and compare sums. A brick whose thin
#: pool was full reads data from memory that never reached its disk, so its
#: copy counted as healed and differed after a reboot (seen on 10.3 and 11.1).
_HEAL_WHOLE_FILES = {'cluster.data-self-heal-algorithm': 'full'}


@dataclasses.dataclass(eq=False)
class VolumeNotFound(errors.Missing):
    """The volume of a share does not exist."""

    volume: str

    def __str__(self) -> str:
        return f'volume {self.volume} does not exist'


@dataclasses.dataclass(eq=False)
class VolumeUnfinished(errors.Missing):
    """The creation of a share has not reached the mark of its volume."""

    volume: str

    def __str__(self) -> str:
        return (
            f'volume {self.volume} is not marked as finished, and may admit '
            f'the clients of its origin'
        )


@dataclasses.dataclass(eq=False)
class VolumeUnmanaged(errors.Missing):
    """An operator manages the volume without Manila."""

    volume: str

    def __str__(self) -> str:
        return f'volume {self.volume} was unmanaged, and is not Manila\'s'


@dataclasses.dataclass(eq=False)
class VolumeOfOtherShare(errors.Missing):
    """A volume has the mark of another share than its name says."""

    volume: str
    share_id: str
    owner: str

    def __str__(self) -> str:
        return (
            f'volume {self.volume} is marked as the volume of share '
            f'{self.owner}; if that is wrong, run "gluster volume set '
            f'{self.volume} {names.OPTION_SHARE} {self.share_id}"'
        )


@dataclasses.dataclass(eq=False)
class BricksOffline(errors.Unsettled):
    """Bricks of a volume are offline some time after it was started."""

    volume: str
    bricks: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        return (
            f'volume {self.volume}: bricks are offline {self.seconds:g} s '
            f'after it was started: {", ".join(self.bricks)}; check that '
            f'glusterd runs on their nodes, and read the logs in '
            f'/var/log/glusterfs/bricks there'
        )


class Volumes:
    """The volumes of the shares of one back end."""

    def __init__(
        self,
        nodes: cluster.Cluster,
        protocol: protocols.Protocol,
        *,
        backend: str,
    ) -> None:
        self._cluster = nodes
        self._protocol = protocol
        self._backend = backend

    def get(self, share_id: str) -> gluster.Volume:
        """Return the volume of a share.

        :raises VolumeNotFound: it does not exist.
        """
        name = names.volume(share_id)
        volume = self._cluster.read(lambda gluster: gluster.volume(name))
        if volume is None:
            raise VolumeNotFound(name)
        return volume

    def get_finished(self, share_id: str) -> gluster.Volume:
        """Return the volume of a share whose creation reached its mark.

        Only such a volume may be started: an unmarked clone has the access
        lists of its origin.

        :raises errors.Missing: the volume does not exist or has no mark.
        """
        volume = self.get(share_id)
        if volume.options.get(names.OPTION_SHARE) != names.canonical_id(
            share_id
        ):
            raise VolumeUnfinished(volume.name)
        return volume

    def get_in_use(self, share_id: str) -> gluster.Volume:
        """Return the volume of a share that Manila had available.

        Its creation was finished, with or without its mark: "gluster volume
        reset" removes the mark.

        :raises errors.Missing: the volume does not exist, is unmanaged, or
            has the mark of another share, as an unfinished clone has.
        """
        volume = self.get(share_id)
        owner = other_owner(share_id, [volume])
        if owner == names.UNMANAGED:
            raise VolumeUnmanaged(volume.name)
        if owner is not None:
            raise VolumeOfOtherShare(volume.name, share_id, owner)
        return volume

    def permanent_options(
        self, share_id: str, volume: gluster.Volume
    ) -> dict[str, str]:
        """Return the options that the volume of a share always has."""
        options = {
            names.OPTION_SHARE: names.canonical_id(share_id),
            names.OPTION_BACKEND: self._backend,
        }
        if layouts.of_volume(volume).is_healed:
            options |= _HEAL_WHOLE_FILES
        return options

    def is_finished(self, share_id: str) -> bool:
        """Return whether the volume of a share exists and has its mark.

        Such a volume may be in use, so a repeated creation must not remove it.
        """
        try:
            self.get_finished(share_id)
        except errors.Missing:
            return False
        return True

    def deny_all(self, share_id: str) -> None:
        """Make a volume deny all clients, and mark it as this share's.

        One transaction does both, so that the volume is never this share's
        while it admits the clients of another. Every node with a brick must
        confirm it.
        """
        name = names.volume(share_id)
        volume = self.get(share_id)
        options = {
            **self._protocol.deny_all_options(),
            **self.permanent_options(share_id, volume),
        }
        for option in self._protocol.options_not_inherited(volume):
            self._reset(name, option)
        # A brick of a clone would admit the clients of its origin.
        volume_options.write(
            self._cluster, volume, options, lasting=True
        ).require_bricks_of(volume)

    def unmanage(self, share_id: str) -> None:
        """Mark a volume as unmanaged; do nothing if it does not exist.

        The marks are overwritten: glusterd does not reset options that it
        does not know, ``Option user.… does not exist`` (11.1).
        """
        name = names.volume(share_id)
        marks = dict.fromkeys(
            (names.OPTION_BACKEND, names.OPTION_SHARE), names.UNMANAGED
        )
        volume = self._cluster.read(lambda gluster: gluster.volume(name))
        if volume is not None:
            # All nodes: the owner may be read from any of them.
            members = [member.uuid for member in self._cluster.members()]
            confirmation = volume_options.write(
                self._cluster, volume, marks, lasting=True, on=members
            )
            confirmation.require_bricks_of(volume)
            cluster.raise_any(confirmation.failures)

    def _reset(self, name: str, option: str) -> None:
        LOG.info('Volume %s: resetting its option %s', name, option)
        self._cluster.change(
            lambda gluster: gluster.reset_option(name, option),
            lambda gluster: option not in _options(gluster.volume(name)),
        )

    def bring_online(self, share_id: str) -> gluster.Volume:
        """Start a volume, wait for every brick, and write them to disk.

        :raises errors.Missing: the creation of the share was not finished.
        :raises errors.Unsettled: a brick stays offline, or is on the wrong LV.
        """
        volume = self.get_finished(share_id)
        name = volume.name
        self._cluster.change(
            lambda gluster: gluster.start_volume(name),
            lambda gluster: is_started(gluster.volume(name)),
        )
        self._await_bricks(volume)
        volume = self.get(share_id)
        self.for_each_brick(
            volume,
            lambda node, path: bricks.verify_durable(
                node, path, volume.hex_id
            ),
        )
        return volume

    def _await_bricks(self, volume: gluster.Volume) -> None:
        name = volume.name
        wanted = {(brick.node_uuid, brick.path) for brick in volume.bricks}
        online: set[tuple[str, str]] = set()
        for _ in retry.Attempts(_ONLINE, 0.5):
            try:
                # Bricks of a node without glusterd are not listed.
                online = {
                    (brick.node_uuid, brick.path)
                    for brick in self._cluster.read(
                        lambda gluster: gluster.brick_status(name)
                    )
                    if brick.online
                }
                if wanted <= online:
                    return
            except errors.Busy:
                online = set()
        offline = sorted(
            f'{brick.host}:{brick.path}'
            for brick in volume.bricks
            if (brick.node_uuid, brick.path) not in online
        )
        raise BricksOffline(name, tuple(offline), _ONLINE)

    def for_each_brick(
        self,
        volume: gluster.Volume,
        action: Callable[[cluster.Node, str], None],
    ) -> None:
        """Run an action on every brick of a volume, all nodes side by side."""
        paths = self._paths(volume)
        self._cluster.everywhere(lambda node: action(node, paths[node]), paths)

    def mounted_bricks(
        self, volume: gluster.Volume
    ) -> dict[cluster.Node, bricks.MountedBrick]:
        """Return the LV and mount of each brick, by its node.

        :raises errors.Unsettled: a brick is not on a mounted LV.
        """
        paths = self._paths(volume)

        def locate(node: cluster.Node) -> bricks.MountedBrick:
            storage = bricks.read_storage(node)
            brick = storage.find_brick(paths[node])
            if brick is None:
                bricks.require_pools_visible(node, storage.lvs)
                raise bricks.BrickNotMounted(node.name, paths[node])
            return brick

        mounted = self._cluster.everywhere(locate, paths)
        return {node: mounted[node.name] for node in paths}

    def _paths(self, volume: gluster.Volume) -> dict[cluster.Node, str]:
        """Return the path of each brick, by its node."""
        return {
            self._cluster.member(brick.node_uuid).node: brick.path
            for brick in volume.bricks
        }


def _options(volume: gluster.Volume | None) -> dict[str, str]:
    return dict(volume.options) if volume is not None else {}


def other_owner(share_id: str, views: Iterable[gluster.Volume]) -> str | None:
    """Return the mark that shows that a volume is not this share's, if any.

    A mark that is absent, or that is no share id, does not count: an operator
    may have reset or overwritten it.

    :param views: the volume, as one or several nodes have it.
    :return: :data:`names.UNMANAGED`, or the id of another share.
    """
    marks = {view.options.get(names.OPTION_SHARE, '') for view in views}
    if names.UNMANAGED in marks:
        return names.UNMANAGED
    if names.canonical_id(share_id) in marks:
        return None
    return next(filter(names.is_id, sorted(marks)), None)


def is_started(volume: gluster.Volume | None) -> bool:
    """Return whether a volume exists and is started."""
    return volume is not None and volume.is_started
