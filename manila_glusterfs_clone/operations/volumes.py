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
"""The volumes of shares: found, closed, brought on line.

A volume is marked with its share in the one transaction that closes it to
everybody. So a marked volume was closed. One without the mark is a clone that
still has the access lists of its origin, or somebody else's, or one that an
operator has reset: Manila knows which.
"""

from collections.abc import Callable, Iterable

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

#: Seconds within which the bricks of a started volume come on line.
_ONLINE = 120.0

#: A copy that is healed is written whole. Else what differs only is: both
#: sides read their copies and compare sums, and a brick whose thin pool was
#: full reads from memory what never reached its disk. Its copy was taken for
#: healed, and was another one after a reboot (seen on 10.3 and 11.1).
_WHOLE = {'cluster.data-self-heal-algorithm': 'full'}


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
        """Give the volume of a share.

        :raises errors.Missing: there is none.
        """
        name = names.volume(share_id)
        found = self._cluster.read(lambda line: line.volume(name))
        if found is None:
            raise errors.Missing(f'volume {name} does not exist')
        return found

    def get_finished(self, share_id: str) -> gluster.Volume:
        """Return the volume that was made for a share and closed.

        For whoever makes a share: the mark of the share was set together
        with closing it. A clone without the mark has the access lists of
        its origin, and is not to be started.

        :raises errors.Missing: there is no volume, or it is not marked.
        """
        volume = self.get(share_id)
        if volume.options.get(names.OPTION_SHARE) != names.canonical_id(
            share_id
        ):
            raise errors.Missing(
                f'volume {volume.name} is not marked as finished, and may '
                f'admit the clients of its origin'
            )
        return volume

    def get_in_use(self, share_id: str) -> gluster.Volume:
        """Return the volume of a share that Manila had available.

        It was finished, with or without its mark: "gluster volume reset"
        removes the mark.

        :raises errors.Missing: there is no volume, its operator manages it
            without Manila, or it bears the mark of another share, as a clone
            does that was never finished.
        """
        volume = self.get(share_id)
        owner = other_owner(share_id, [volume])
        if owner == names.UNMANAGED:
            raise errors.Missing(
                f'volume {volume.name} was left to be managed by somebody '
                f'else than Manila'
            )
        if owner is not None:
            raise errors.Missing(
                f'volume {volume.name} is marked as the volume of share '
                f'{owner}; if that is wrong, run "gluster volume set '
                f'{volume.name} {names.OPTION_SHARE} {share_id}"'
            )
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
            options |= _WHOLE
        return options

    def is_finished(self, share_id: str) -> bool:
        """Whether there is a volume of a share that was closed once.

        Such a one may be in use, and must not be undone by who wanted to
        make it.
        """
        try:
            self.get_finished(share_id)
        except errors.Missing:
            return False
        return True

    def deny_all(self, share_id: str) -> None:
        """Let nobody mount a volume, and mark it as this share's.

        In one transaction, so that there is no moment at which the volume
        is this share's and open to the clients of another. It has to be
        known to all nodes that have a brick.
        """
        name = names.volume(share_id)
        volume = self.get(share_id)
        options = {
            **self._protocol.deny_all_options(),
            **self.permanent_options(share_id, volume),
        }
        for option in self._protocol.options_not_inherited(volume):
            self._drop(name, option)
        # A brick of a clone would admit the clients of its origin.
        volume_options.write(
            self._cluster, volume, options, lasting=True
        ).require_bricks_of(volume)

    def unmanage(self, share_id: str) -> None:
        """Have a volume be marked as nobody's; fine if there is none.

        The marks are overwritten: glusterd does not reset options that it
        does not know, ``Option user.… does not exist`` (11.1).
        """
        name = names.volume(share_id)
        marks = dict.fromkeys(
            (names.OPTION_BACKEND, names.OPTION_SHARE), names.UNMANAGED
        )
        volume = self._cluster.read(lambda line: line.volume(name))
        if volume is not None:
            # All of them: any may be the one that is asked whose it is.
            members = [member.uuid for member in self._cluster.members()]
            told = volume_options.write(
                self._cluster, volume, marks, lasting=True, on=members
            )
            told.require_bricks_of(volume)
            cluster.raise_any(told.failures)

    def _drop(self, name: str, option: str) -> None:
        LOG.info('Dropping option %s of volume %s', option, name)
        self._cluster.change(
            lambda line: line.reset_option(name, option),
            lambda line: option not in _options(line.volume(name)),
        )

    def bring_online(self, share_id: str) -> gluster.Volume:
        """Start a volume, see every brick on line and safely on disk.

        :raises errors.Missing: it was never closed.
        :raises errors.Unsettled: a brick stays down, or is a wrong one.
        """
        volume = self.get_finished(share_id)
        name = volume.name
        self._cluster.change(
            lambda line: line.start_volume(name),
            lambda line: is_started(line.volume(name)),
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
                # Those of a node without glusterd are not in the list.
                online = {
                    (brick.node_uuid, brick.path)
                    for brick in self._cluster.read(
                        lambda line: line.brick_status(name)
                    )
                    if brick.online
                }
                if wanted <= online:
                    return
            except errors.Busy:
                online = set()
        down = sorted(
            f'{brick.host}:{brick.path}'
            for brick in volume.bricks
            if (brick.node_uuid, brick.path) not in online
        )
        raise errors.Unsettled(
            f'volume {name}',
            f'bricks are not on line {_ONLINE:g} s after it was '
            f'started: {", ".join(down)}; see that glusterd runs on '
            f'their nodes, and the logs below '
            f'/var/log/glusterfs/bricks there',
        )

    def for_each_brick(
        self,
        volume: gluster.Volume,
        action: Callable[[cluster.Node, str], None],
    ) -> None:
        """Do something with every brick of a volume, side by side."""
        paths = self._paths(volume)
        self._cluster.everywhere(lambda node: action(node, paths[node]), paths)

    def mounted_bricks(
        self, volume: gluster.Volume
    ) -> dict[cluster.Node, bricks.MountedBrick]:
        """Find the LV and mount of each brick, by its node.

        :raises errors.Unsettled: a brick is not on a mounted LV.
        """
        paths = self._paths(volume)

        def locate(node: cluster.Node) -> bricks.MountedBrick:
            seen = bricks.read_storage(node)
            place = seen.find_brick(paths[node])
            if place is None:
                bricks.require_pools_visible(node, seen.lvs)
                raise bricks.BrickNotMounted(node.name, paths[node])
            return place

        found = self._cluster.everywhere(locate, paths)
        return {node: found[node.name] for node in paths}

    def _paths(self, volume: gluster.Volume) -> dict[cluster.Node, str]:
        """Give the path of each brick, by its node."""
        return {
            self._cluster.member(brick.node_uuid).node: brick.path
            for brick in volume.bricks
        }


def _options(volume: gluster.Volume | None) -> dict[str, str]:
    return dict(volume.options) if volume is not None else {}


def other_owner(share_id: str, views: Iterable[gluster.Volume]) -> str | None:
    """Return the mark by which a volume is not this share's, if it has one.

    A mark that is absent, or names no share, tells nothing: whoever resets
    or sets options may have removed it.

    :param views: the volume, as one or several nodes know it.
    :return: :data:`names.UNMANAGED`, or the id of another share.
    """
    marks = {view.options.get(names.OPTION_SHARE, '') for view in views}
    if names.UNMANAGED in marks:
        return names.UNMANAGED
    if names.canonical_id(share_id) in marks:
        return None
    return next(filter(names.is_id, sorted(marks)), None)


def is_started(volume: gluster.Volume | None) -> bool:
    """Whether there is a volume, and it is started."""
    return volume is not None and volume.is_started
