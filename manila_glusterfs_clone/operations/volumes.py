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

The *mark* of a share is its id in the volume option
:data:`~manila_glusterfs_clone.names.OPTION_SHARE`. A volume with the mark of
its share is *finished*: one transaction denies all clients and sets the mark.
An unfinished clone has the mark and the access lists of its origin.
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
from manila_glusterfs_clone.operations import volume_start
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)

#: Make self-heal copy whole files, not only blocks with different checksums.
#: After a thin pool was full, a brick can read blocks from memory that are
#: missing on its disk. Self-heal did not copy these blocks, so the files
#: differed after a reboot (observed on 10.3 and 11.1).
_HEAL_WHOLE_FILES = {'cluster.data-self-heal-algorithm': 'full'}


@dataclasses.dataclass(eq=False)
class VolumeNotFound(errors.Missing):
    """The volume of a share does not exist."""

    volume: str

    def __str__(self) -> str:
        return (
            f'volume {self.volume}: does not exist; check "gluster volume '
            f'list", and delete the share if the volume was removed'
        )


@dataclasses.dataclass(eq=False)
class VolumeUnfinished(errors.Missing):
    """A volume does not have the mark of its share."""

    volume: str

    def __str__(self) -> str:
        return (
            f'volume {self.volume}: option {names.OPTION_SHARE} is not the id '
            f'of its share, so the volume may admit clients of its origin; '
            f'delete the share if its creation failed'
        )


@dataclasses.dataclass(eq=False)
class VolumeUnmanaged(errors.Missing):
    """A volume is marked as unmanaged."""

    volume: str

    def __str__(self) -> str:
        return (
            f'volume {self.volume}: marked as unmanaged; unmanage the share '
            f'in Manila'
        )


@dataclasses.dataclass(eq=False)
class VolumeOfOtherShare(errors.Missing):
    """The mark and the name of a volume contain different share ids."""

    volume: str
    share_id: str
    owner: str

    def __str__(self) -> str:
        return (
            f'volume {self.volume}: marked as the volume of share '
            f'{self.owner}; if that is wrong, run "gluster volume set '
            f'{self.volume} {names.OPTION_SHARE} {self.share_id}"'
        )


class Volumes:
    """The volumes of the shares of one back end."""

    def __init__(
        self,
        the_cluster: cluster.Cluster,
        protocol: protocols.Protocol,
        *,
        backend_mark: str,
    ) -> None:
        self._cluster = the_cluster
        self._protocol = protocol
        self._backend_mark = backend_mark

    def get(self, share_id: str) -> gluster.Volume:
        """Return the volume of a share.

        :raises VolumeNotFound: the volume does not exist.
        """
        name = names.volume(share_id)
        volume = self._cluster.read(lambda gluster: gluster.volume(name))
        if volume is None:
            raise VolumeNotFound(name)
        return volume

    def get_finished(self, share_id: str) -> gluster.Volume:
        """Return the volume of a share if it has the mark of the share.

        Start a volume only if it has the mark: without the mark, a clone has
        the access lists of its origin.

        :raises errors.Missing: the volume does not exist or lacks the mark.
        """
        volume = self.get(share_id)
        if not has_mark(volume, share_id):
            raise VolumeUnfinished(volume.name)
        return volume

    def get_in_use(self, share_id: str) -> gluster.Volume:
        """Return the volume of a share that was available in Manila.

        The volume may lack the mark: "gluster volume reset" removes the mark.

        :raises errors.Missing: the volume does not exist, is marked as
            unmanaged, or has the mark of another share.
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
        """Return the options that the volume of a share must always have."""
        options = {
            names.OPTION_SHARE: names.canonical_id(share_id),
            names.OPTION_BACKEND: self._backend_mark,
        }
        if layouts.of_volume(volume).has_self_heal:
            options |= _HEAL_WHOLE_FILES
        return options

    def is_finished(self, share_id: str) -> bool:
        """Return whether a share has a finished volume.

        A finished volume may be in use, so a repeated creation must not remove
        it.
        """
        try:
            self.get_finished(share_id)
        except errors.Missing:
            return False
        return True

    def is_of_backend(self, volume: gluster.Volume | None) -> bool:
        """Return whether a volume has the mark of this back end."""
        return (
            volume is not None
            and volume.options.get(names.OPTION_BACKEND) == self._backend_mark
        )

    def deny_all(self, share_id: str) -> gluster.Volume:
        """Make the volume of a share deny all clients, and set its marks.

        One transaction does both, so a clone with the mark of its share never
        admits clients of its origin.

        :return: the volume, with its earlier options.
        """
        name = names.volume(share_id)
        volume = self.get(share_id)
        options = {
            **self._protocol.deny_all_options(volume),
            **self.permanent_options(share_id, volume),
        }
        for option in self._protocol.options_not_inherited(volume):
            self._reset(name, option)
        # All nodes with bricks must confirm: a brick without the options would
        # admit clients of the origin.
        volume_options.write(
            self._cluster, volume, options, must_last=True
        ).require_bricks_of(volume)
        return volume

    def unmanage(self, share_id: str) -> None:
        """Mark a volume as unmanaged; do nothing if it does not exist.

        Overwrite the marks: glusterd 11.1 refuses to reset them (``Option
        user.… does not exist``).
        """
        name = names.volume(share_id)
        marks = dict.fromkeys(
            (names.OPTION_BACKEND, names.OPTION_SHARE), names.UNMANAGED
        )
        volume = self._cluster.read(lambda gluster: gluster.volume(name))
        if volume is not None:
            # All nodes must confirm: each of them can become the writer.
            uuids = [member.uuid for member in self._cluster.members()]
            confirmation = volume_options.write(
                self._cluster, volume, marks, must_last=True, node_uuids=uuids
            )
            confirmation.require_bricks_of(volume)
            cluster.raise_any(confirmation.failures)

    def _reset(self, name: str, option: str) -> None:
        LOG.info('Volume %s: unwanted option %s; resetting it', name, option)
        self._cluster.change(
            lambda gluster: gluster.reset_option(name, option),
            lambda gluster: option not in _options(gluster.volume(name)),
        )

    def bring_online(self, share_id: str) -> gluster.Volume:
        """Start a volume, wait for its bricks, and write the bricks to disk.

        :raises errors.Missing: the volume does not exist or lacks the mark.
        :raises errors.Unsettled: a brick is offline, or lacks the volume id.
        """
        return self.bring_finished_online(self.get_finished(share_id))

    def bring_finished_online(self, volume: gluster.Volume) -> gluster.Volume:
        """Start a volume that has its mark, as :meth:`bring_online` does."""
        volume_start.start(self._cluster, volume)
        self.make_durable(volume)
        return dataclasses.replace(volume, status='Started')

    def make_durable(self, volume: gluster.Volume) -> None:
        """Write the bricks of a volume to disk, and verify their volume id.

        :raises bricks.WrongVolumeId: a brick lacks the volume id.
        """
        self.for_each_brick(
            volume,
            lambda node, path: bricks.verify_durable(
                node, path, volume.hex_id
            ),
        )

    def for_each_brick(
        self,
        volume: gluster.Volume,
        action: Callable[[cluster.Node, str], None],
    ) -> None:
        """Run an action on every brick of a volume, all nodes in parallel."""
        paths = self._brick_paths(volume)
        self._cluster.everywhere(lambda node: action(node, paths[node]), paths)

    def mounted_bricks(
        self, volume: gluster.Volume
    ) -> dict[cluster.Node, bricks.MountedBrick]:
        """Return the LV and the mount point of each brick, by node.

        :raises errors.Unsettled: a brick is not on a mounted LV.
        """
        paths = self._brick_paths(volume)

        def locate(node: cluster.Node) -> bricks.MountedBrick:
            storage = bricks.read_storage(node)
            brick = storage.find_brick(paths[node])
            if brick is None:
                bricks.require_pools_visible(node, storage.lvs)
                raise bricks.BrickNotMounted(node.name, paths[node])
            return brick

        brick_by_node_name = self._cluster.everywhere(locate, paths)
        return {node: brick_by_node_name[node.name] for node in paths}

    def _brick_paths(self, volume: gluster.Volume) -> dict[cluster.Node, str]:
        """Return the path of each brick, by node."""
        return {
            self._cluster.member(brick.node_uuid).node: brick.path
            for brick in volume.bricks
        }


def _options(volume: gluster.Volume | None) -> dict[str, str]:
    return dict(volume.options) if volume is not None else {}


def has_mark(volume: gluster.Volume | None, share_id: str) -> bool:
    """Return whether a volume exists and has the mark of a share."""
    return volume is not None and volume.options.get(
        names.OPTION_SHARE
    ) == names.canonical_id(share_id)


def other_owner(share_id: str, views: Iterable[gluster.Volume]) -> str | None:
    """Return the owner of a share's volume if its mark names another owner.

    :param views: the volume, as glusterd on one or several nodes reports it.
    :return: :data:`names.UNMANAGED`, or the id of another share. None for the
        mark of the share, no mark, or another text.
    """
    marks = {view.options.get(names.OPTION_SHARE, '') for view in views}
    if names.UNMANAGED in marks:
        return names.UNMANAGED
    if names.canonical_id(share_id) in marks:
        return None
    return next(filter(names.is_id, sorted(marks)), None)
