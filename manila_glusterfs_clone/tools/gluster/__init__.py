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
"""A client of glusterd, with one typed method for each gluster command.

Methods that read return frozen dataclasses of
:mod:`~manila_glusterfs_clone.tools.gluster.xml_output`. All methods raise the
errors of :meth:`~manila_glusterfs_clone.tools.gluster.console.Console.run`.
The methods that start, stop, activate, deactivate or delete an object are
idempotent.
"""

from collections.abc import Iterable, Mapping, Sequence
import contextlib
from xml.etree import ElementTree

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools.gluster import console
from manila_glusterfs_clone.tools.gluster import peers_first
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

#: Time limit for a read, in seconds. glusterd answers a read without asking
#: its peers, usually in milliseconds. A busy glusterd can need half a minute.
READ_TIMEOUT = 60.0
#: Time limit for ``gluster volume heal … info``, in seconds. The command reads
#: from every brick, and ``gluster`` waits up to 600 s for it.
HEAL_TIMEOUT = 615.0
#: The command that lists all volumes with their options and bricks.
_VOLUMES = ('volume', 'info')
#: The argument of :meth:`Gluster.brick_status` that selects all volumes.
ALL_VOLUMES = 'all'

#: An IP address that no client has. An access list with only this address
#: denies all.
NO_CLIENT = '0.0.0.0'  # noqa: S104


class Gluster:
    """A client of glusterd that uses the gluster command line of one node."""

    def __init__(self, commands: console.Console) -> None:
        self._console = commands

    def peers_first(self, timeout: float) -> 'PeersFirst':
        """Return a client that reads the peers with its first command.

        :param timeout: seconds for reading the peers.
        """
        return PeersFirst(peers_first.PeersFirst(self._console, timeout))

    # -- reads

    def peers(self, timeout: float = READ_TIMEOUT) -> tuple[Peer, ...]:
        """Return all nodes of the trusted storage pool, including this one."""
        words = ('pool', 'list')
        answer = self._console.run(*words, timeout=timeout, is_read=True)
        return xml_output.peers(answer.root)

    def volume_names(self) -> frozenset[str]:
        """Return the names of all volumes."""
        return xml_output.volume_names(self._read('volume', 'list'))

    def volumes(self) -> dict[str, Volume]:
        """Return all volumes by name.

        If a volume is deleted while ``volume info`` reads it, the command
        omits all further volumes and reports success. So this method reads
        ``volume list``, too, and reads each missing volume by its name.
        """
        names, volumes = self._read_all(('volume', 'list'), _VOLUMES)
        return self._complete(names, volumes)

    def volumes_and_snapshots(
        self,
    ) -> tuple[dict[str, Volume], dict[str, Snapshot]]:
        """Return :meth:`volumes` and :meth:`snapshots`, in one request."""
        names, volumes, snapshots = self._read_all(
            ('volume', 'list'), _VOLUMES, ('snapshot', 'info')
        )
        return self._complete(names, volumes), xml_output.snapshots(snapshots)

    def _complete(
        self, names: ElementTree.Element, volumes: ElementTree.Element
    ) -> dict[str, Volume]:
        """Return the volumes in an answer, and read the missing ones."""
        volume_by_name = self._parse_volumes(_VOLUMES, volumes)
        for name in xml_output.volume_names(names) - volume_by_name.keys():
            if (volume := self.volume(name)) is not None:
                volume_by_name[name] = volume
        return volume_by_name

    def volumes_in_one_call(self) -> dict[str, Volume]:
        """Return the volumes that one ``volume info`` lists, by name.

        Volumes may be missing: see :meth:`volumes`.
        """
        return self._volumes()

    def volume(self, name: str) -> Volume | None:
        """Return the volume with a name, or None if there is none."""
        try:
            return self._volumes(name).get(name)
        except errors.NotFound:
            return None

    def snapshots(self) -> dict[str, Snapshot]:
        """Return all snapshots by name."""
        return xml_output.snapshots(self._read('snapshot', 'info'))

    def snapshot(self, name: str) -> Snapshot | None:
        """Return the snapshot with a name, or None if there is none."""
        try:
            answer = self._read('snapshot', 'info', name)
        except errors.NotFound:
            return None
        return xml_output.snapshots(answer).get(name)

    def snapshot_config(self, volume: str = '') -> SnapshotConfig:
        """Return the snapshot options of a volume.

        :param volume: the name; empty for the options of the cluster.
        """
        words = (volume,) if volume else ()
        return xml_output.snapshot_config(
            self._read('snapshot', 'config', *words), volume
        )

    def global_options(self) -> dict[str, str]:
        """Return the options of the trusted storage pool.

        They include ``cluster.op-version`` and ``cluster.max-op-version``.
        vdsm parses the same answer (``_parseGlobalVolumeOptions`` in
        lib/vdsm/gluster/cli.py).
        """
        answer = self._read('volume', 'get', 'all', 'all')
        return {
            xml_output.text(option, 'Option'): xml_output.text(option, 'Value')
            for option in answer.iterfind('volGetopts/Opt')
        }

    def brick_status(
        self, volume: str, *, brick: str = '', with_clients: bool = False
    ) -> tuple[BrickStatus, ...]:
        """Return the status of the bricks of a started volume.

        Unlike the other reads, this command takes the lock of the volume in
        glusterd. If another command on the volume runs at the same time,
        either can fail with :class:`errors.Busy`.

        If a brick has no clients, ``with_clients`` works only on the node of
        the brick. On every other node the command fails with "Commit failed".

        :param volume: the name; or :data:`ALL_VOLUMES`, which omits volumes
            that are stopped or busy.
        :param brick: the only brick to read, as ``host:/path``; all if empty.
        """
        words = (
            *filter(None, [brick]),
            *(('clients',) if with_clients else ()),
        )
        answer = self._console.run('volume', 'status', volume, *words)
        return xml_output.brick_statuses(answer.root)

    def heal_state(
        self, volume: str, timeout: float = HEAL_TIMEOUT
    ) -> HealState:
        """Return the pending self-heal of a replicated volume."""
        words = ('volume', 'heal', volume, 'info', 'summary')
        answer = self._console.run(*words, timeout=timeout)
        return xml_output.heal_state(answer.root)

    def heal(self, volume: str, timeout: float) -> None:
        """Make the self-heal daemons heal a started volume now.

        This method does not wait until the volume is healed;
        :meth:`heal_state` returns the progress.

        :raises errors.GlusterRefused: for example, a brick is down.
        """
        self._console.run_without_xml(
            'volume', 'heal', volume, timeout=timeout
        )

    # -- writes

    def create_volume(
        self, name: str, layout: Iterable[str], bricks: Sequence[str]
    ) -> None:
        """Create a volume, without starting it.

        :param layout: arguments such as ``replica`` and ``3``.
        :param bricks: each as ``host:/path``. glusterd creates the directory.
        """
        self._console.run('volume', 'create', name, *layout, *bricks)

    def start_volume(self, name: str, *, force: bool = False) -> None:
        """Start a volume.

        :param force: start the bricks that are down, even of a started
            volume.
        """
        words = ('force',) if force else ()
        with refusals.suppress(refusals.ALREADY_STARTED):
            self._console.run('volume', 'start', name, *words)

    def stop_volume(self, name: str) -> None:
        """Stop a volume, even if clients use it.

        A volume that does not exist is no error.
        """
        with (
            contextlib.suppress(errors.NotFound),
            refusals.suppress(refusals.NOT_IN_STARTED_STATE),
        ):
            self._console.run('volume', 'stop', name, 'force')

    def delete_volume(self, name: str) -> None:
        """Remove a stopped volume from glusterd, but keep its bricks.

        A volume that does not exist is no error.
        """
        with contextlib.suppress(errors.NotFound):
            self._console.run('volume', 'delete', name)

    def write_volfiles(self, volume: str) -> None:
        """Make glusterd write all volfiles (configuration) of a volume.

        ``snapshot clone`` does not write the volfile of the self-heal daemon.
        Without this volfile, ``volume set`` on a replicated or dispersed clone
        that is not started fails with ``Commit failed on localhost``, and
        glusterd logs ``stat on file: …-shd.vol failed`` (10.3 and 11.1).

        To make glusterd write the volfiles, this method turns profiling on and
        off. Other commands with this effect need a started volume, or change
        more.
        """
        with refusals.suppress(refusals.ALREADY_STARTED):
            self._console.run('volume', 'profile', volume, 'start')
        with refusals.suppress(refusals.NOT_STARTED):
            self._console.run('volume', 'profile', volume, 'stop')

    def set_options(self, volume: str, options: Mapping[str, str]) -> None:
        """Set options of a volume in one transaction: all of them or none."""
        words = [word for pair in sorted(options.items()) for word in pair]
        self._console.run('volume', 'set', volume, *words)

    def reset_option(self, volume: str, option: str) -> None:
        """Reset an option of a volume to its default.

        An option that is not set is no error.
        """
        self._console.run('volume', 'reset', volume, option)

    def create_snapshot(self, name: str, volume: str) -> None:
        """Take a snapshot of a started volume, without activating it."""
        self._console.run('snapshot', 'create', name, volume, 'no-timestamp')

    def activate_snapshot(self, name: str, *, force: bool = False) -> None:
        """Activate a snapshot: start its bricks, so that it can be cloned.

        :param force: start the bricks that are down, even of an active
            snapshot.
        """
        words = ('force',) if force else ()
        with refusals.suppress(refusals.ALREADY_ACTIVATED):
            self._console.run('snapshot', 'activate', name, *words)

    def deactivate_snapshot(self, name: str) -> None:
        """Deactivate a snapshot: stop its bricks.

        If the snapshot is inactive on a peer already, that peer refuses the
        command. The snapshot then stays active on the other nodes, but this
        method raises no error.
        """
        with refusals.suppress(refusals.ALREADY_DEACTIVATED):
            self._console.run('snapshot', 'deactivate', name)

    def clone_snapshot(self, snapshot: str, volume: str) -> None:
        """Create a volume from an active snapshot, without starting it.

        The new volume inherits all options of the origin.
        """
        self._console.run('snapshot', 'clone', volume, snapshot)

    def delete_snapshot(self, name: str) -> None:
        """Delete a snapshot.

        A snapshot that does not exist is no error. glusterd reports success
        even if it failed to unmount or remove an LV of the snapshot. So the
        caller must check the LVs afterwards.
        """
        with contextlib.suppress(errors.NotFound):
            self._console.run('snapshot', 'delete', name)

    def _volumes(self, *names: str) -> dict[str, Volume]:
        words = (*_VOLUMES, *names)
        return self._parse_volumes(words, self._read(*words))

    def _parse_volumes(
        self, words: Sequence[str], root: ElementTree.Element
    ) -> dict[str, Volume]:
        try:
            return xml_output.volumes(root)
        except ValueError as error:
            # The answer lacks data. The caller can retry, or ask another node.
            raise errors.Garbled(
                self._console.name, ('gluster', *words), str(error)
            ) from error

    def _read_all(self, *commands: Sequence[str]) -> list[ElementTree.Element]:
        """Run several commands as :meth:`_read`, in one request."""
        answers = self._console.read_all(*commands, timeout=READ_TIMEOUT)
        return [answer.root for answer in answers]

    def _read(self, *words: str) -> ElementTree.Element:
        """Run a command that changes nothing, and takes no lock."""
        return self._console.run(
            *words, timeout=READ_TIMEOUT, is_read=True
        ).root


class PeersFirst(Gluster):
    """A client that reads the peers in the request of its first command."""

    _console: peers_first.PeersFirst

    def peers(self, timeout: float = READ_TIMEOUT) -> tuple[Peer, ...]:
        """Return the peers that were read, or raise the error of the read."""
        return xml_output.peers(self._console.peers().root)
