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
"""Commands of gluster, typed: one method for each command.

Reads return frozen dataclasses of
:mod:`~manila_glusterfs_clone.tools.gluster.xml_output`. Writes return nothing.
All raise the errors of :mod:`~manila_glusterfs_clone.tools.gluster.console`.
A refusal because the state is already the wanted one counts as success.
"""

from collections.abc import Iterable, Mapping, Sequence
import contextlib
from xml.etree import ElementTree

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools.gluster import console
from manila_glusterfs_clone.tools.gluster import refusals
from manila_glusterfs_clone.tools.gluster import xml_output

Peer = xml_output.Peer
Brick = xml_output.Brick
Volume = xml_output.Volume
Snapshot = xml_output.Snapshot
SnapshotConfig = xml_output.SnapshotConfig
BrickStatus = xml_output.BrickStatus
HealState = xml_output.HealState
MAX_SNAPSHOTS = xml_output.MAX_SNAPSHOTS

#: Seconds for a read. A read asks only the glusterd of this node and takes
#: milliseconds, unless glusterd hangs or is busy. It may be busy for half a
#: minute, which is no reason to fail.
READ_TIMEOUT = 60.0
#: Seconds for ``gluster volume heal … info``, which asks every brick; the
#: CLI waits up to 600 s.
HEAL_TIMEOUT = 615.0
#: The number of the peer state "Peer in Cluster".
_IN_CLUSTER = '3'
#: In place of a volume's name in :meth:`Gluster.brick_status`.
ALL_VOLUMES = 'all'

#: An IP address that no client has: an access list with only this address
#: denies all.
NOBODY = '0.0.0.0'  # noqa: S104


class Gluster:
    """A client of glusterd, through the command line of one node."""

    def __init__(self, commands: console.Console) -> None:
        self._console = commands

    # -- reads

    def peers(self, timeout: float = READ_TIMEOUT) -> tuple[Peer, ...]:
        """Return all nodes of the trusted storage pool, with this one.

        :param timeout: seconds.
        """
        answer = self._console.run(
            'pool', 'list', timeout=timeout, read=True
        ).root
        return tuple(
            Peer(
                uuid=xml_output.text(peer, 'uuid'),
                hostname=xml_output.text(peer, 'hostname'),
                # A peer may be connected and not in the cluster, for
                # example rejected. glusterd reports no state of itself.
                connected=xml_output.text(peer, 'connected') == '1'
                and xml_output.text(peer, 'state') in ('', _IN_CLUSTER),
                names=frozenset(
                    name.text or ''
                    for name in peer.iterfind('hostnames/hostname')
                ),
            )
            for peer in answer.iterfind('peerStatus/peer')
        )

    def volume_names(self) -> frozenset[str]:
        """Return the names of all volumes."""
        elements = self._read('volume', 'list').iterfind('volList/volume')
        return frozenset(element.text or '' for element in elements)

    def volumes(self) -> dict[str, Volume]:
        """Return all volumes by name.

        ``volume info`` makes one call per volume, and ends early, with
        success, if its current volume is deleted meanwhile. So each volume
        of ``volume list`` that is missing is read by name.
        """
        existing_names = self.volume_names()
        volumes = self._volumes()
        for name in existing_names - volumes.keys():
            if (volume := self.volume(name)) is not None:
                volumes[name] = volume
        return volumes

    def volumes_in_one_call(self) -> dict[str, Volume]:
        """Return volumes by name; some may be missing, see :meth:`volumes`."""
        return self._volumes()

    def volume(self, name: str) -> Volume | None:
        """Return a volume, or None if no volume has that name."""
        try:
            return self._volumes(name).get(name)
        except errors.NotFound:
            return None

    def snapshots(self) -> dict[str, Snapshot]:
        """Return all snapshots by name."""
        return xml_output.snapshots(self._read('snapshot', 'info'))

    def snapshot(self, name: str) -> Snapshot | None:
        """Return a snapshot, or None if no snapshot has that name."""
        try:
            answer = self._read('snapshot', 'info', name)
        except errors.NotFound:
            return None
        return xml_output.snapshots(answer).get(name)

    def snapshot_config(self, volume: str = '') -> SnapshotConfig:
        """Return the snapshot options of a volume, or of the cluster."""
        words = (volume,) if volume else ()
        return xml_output.snapshot_config(
            self._read('snapshot', 'config', *words), volume
        )

    def brick_status(
        self, volume: str, *, brick: str = '', clients: bool = False
    ) -> tuple[BrickStatus, ...]:
        """Return the status of the bricks of a started volume.

        Unlike the other reads, the command takes the volume's lock in
        glusterd. So it may fail as busy, and so may a command at the same
        time. With :data:`ALL_VOLUMES`, stopped or busy volumes are left out.

        A brick without clients cannot list its clients. Its own node
        reports no clients for it. On every other node the command fails
        with "Commit failed".

        :param brick: as ``host:/path``, to read this brick alone.
        :param clients: whether to list the clients of each brick.
        """
        words = (*filter(None, [brick]), *(('clients',) if clients else ()))
        answer = self._console.run('volume', 'status', volume, *words)
        return tuple(
            BrickStatus(
                node_uuid=xml_output.text(node, 'peerid'),
                path=xml_output.text(node, 'path'),
                online=xml_output.text(node, 'status') == '1',
                clients=frozenset(
                    xml_output.text(client, 'hostname').rpartition(':')[0]
                    for client in node.iterfind('clientsStatus/client')
                ),
            )
            for node in answer.root.iterfind('volStatus/volumes/volume/node')
            # The same list has the daemons of the volume.
            if xml_output.text(node, 'path').startswith('/')
        )

    def heal_state(
        self, volume: str, timeout: float = HEAL_TIMEOUT
    ) -> HealState:
        """Return the entries of a replicated volume still to be healed.

        :param timeout: seconds; every brick is asked.
        """
        words = ('volume', 'heal', volume, 'info', 'summary')
        answer = self._console.run(*words, timeout=timeout, own_process=True)
        return xml_output.heal_state(answer.root)

    def heal(self, volume: str, timeout: float) -> None:
        """Start the self-heal daemons on a started volume now.

        Returns at once; :meth:`heal_state` has the progress.

        :param timeout: seconds.
        :raises errors.GlusterRefused: for example, a brick is down.
        """
        self._console.run_without_xml(
            'volume', 'heal', volume, timeout=timeout
        )

    # -- writes

    def create_volume(
        self, name: str, layout: Iterable[str], bricks: Sequence[str]
    ) -> None:
        """Create a volume, which is then not started.

        :param layout: words such as ``replica 3``.
        :param bricks: each as ``host:/path``; the directory must not exist.
        """
        self._console.run('volume', 'create', name, *layout, *bricks)

    def start_volume(self, name: str, *, force: bool = False) -> None:
        """Start a volume; with ``force``, also start bricks that are down."""
        words = ('force',) if force else ()
        with refusals.suppress(refusals.ALREADY_STARTED):
            self._console.run('volume', 'start', name, *words)

    def stop_volume(self, name: str) -> None:
        """Stop a volume, even one in use; a missing one is no error."""
        with (
            contextlib.suppress(errors.NotFound),
            refusals.suppress(refusals.NOT_IN_STARTED_STATE),
        ):
            self._console.run('volume', 'stop', name, 'force')

    def delete_volume(self, name: str) -> None:
        """Remove a stopped volume from glusterd; its bricks stay.

        A missing volume is no error.
        """
        with contextlib.suppress(errors.NotFound):
            self._console.run('volume', 'delete', name)

    def write_volfiles(self, volume: str) -> None:
        """Make glusterd write all volfiles of a volume.

        ``snapshot clone`` omits the volfile of the self-heal daemon. Then no
        option of a replicated or dispersed clone can be changed before the
        clone is started: the command fails with ``Commit failed on
        localhost``, and the log of glusterd has ``stat on file: …-shd.vol
        failed`` (10.3 and 11.1). Several commands write all volfiles. Only
        turning profiling on and off works on a volume that is not started
        and changes nothing else.
        """
        with refusals.suppress(refusals.ALREADY_STARTED):
            self._console.run('volume', 'profile', volume, 'start')
        with refusals.suppress(refusals.NOT_STARTED):
            self._console.run('volume', 'profile', volume, 'stop')

    def set_options(self, volume: str, options: Mapping[str, str]) -> None:
        """Set options in one transaction: all of them or none."""
        words = [word for pair in sorted(options.items()) for word in pair]
        self._console.run('volume', 'set', volume, *words)

    def reset_option(self, volume: str, option: str) -> None:
        """Reset an option to its default; an unset one is no error."""
        self._console.run('volume', 'reset', volume, option)

    def create_snapshot(self, name: str, volume: str) -> None:
        """Take a snapshot of a started volume; it is not activated."""
        self._console.run('snapshot', 'create', name, volume, 'no-timestamp')

    def activate_snapshot(self, name: str, *, force: bool = False) -> None:
        """Start the bricks of a snapshot, so that it can be cloned.

        :param force: whether to accept that some nodes have it active.
        """
        words = ('force',) if force else ()
        with refusals.suppress(refusals.ALREADY_ACTIVATED):
            self._console.run('snapshot', 'activate', name, *words)

    def deactivate_snapshot(self, name: str) -> None:
        """Stop the bricks of a snapshot.

        A peer on which they are already stopped refuses. Then they keep
        running on the other nodes.
        """
        with refusals.suppress(refusals.ALREADY_DEACTIVATED):
            self._console.run('snapshot', 'deactivate', name)

    def clone_snapshot(self, snapshot: str, volume: str) -> None:
        """Create a volume from an activated snapshot; it is not started.

        The new volume inherits all options of the origin.
        """
        self._console.run('snapshot', 'clone', volume, snapshot)

    def delete_snapshot(self, name: str) -> None:
        """Delete a snapshot; a missing one is no error.

        glusterd reports success even if it could not unmount or remove an
        LV, so the caller must check the LVs afterwards.
        """
        with contextlib.suppress(errors.NotFound):
            self._console.run('snapshot', 'delete', name)

    def _volumes(self, *names: str) -> dict[str, Volume]:
        words = ('volume', 'info', *names)
        root = self._read(*words)
        try:
            return xml_output.volumes(root)
        except ValueError as error:
            # Another node, or this one a moment later, may have it all.
            raise errors.Garbled(
                self._console.name, ('gluster', *words), str(error)
            ) from error

    def _read(self, *words: str) -> ElementTree.Element:
        """Run a command that changes nothing and takes no lock."""
        return self._console.run(*words, timeout=READ_TIMEOUT, read=True).root
