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
"""The verbs of gluster, typed: one method a verb.

Reads give frozen dataclasses; writes give nothing, raise what
:mod:`~manila_glusterfs_clone.tools.gluster.console` raises, and take "it is
so already" for success wherever gluster says so.
"""

from collections.abc import Iterable, Mapping, Sequence
import contextlib
from xml.etree import ElementTree

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools.gluster import answers
from manila_glusterfs_clone.tools.gluster import console

Peer = answers.Peer
Brick = answers.Brick
Volume = answers.Volume
Snapshot = answers.Snapshot
SnapshotConfig = answers.SnapshotConfig
BrickStatus = answers.BrickStatus
HealState = answers.HealState
MAX_SNAPSHOTS = answers.MAX_SNAPSHOTS

#: Seconds that a read may take. A read touches this node's glusterd only
#: and takes milliseconds, unless glusterd hangs, or is busy: half a minute of
#: that is no reason to fail.
READ_TIMEOUT = 60.0
#: ``gluster volume heal … info`` asks every brick; the CLI gives it 600 s.
HEAL_TIMEOUT = 615.0
#: The state "Peer in Cluster".
_IN_CLUSTER = '3'
#: Every volume, where the state of the bricks of one is asked for.
ALL_VOLUMES = 'all'

#: An IP address that no client has: an allow-list of it admits nobody.
NOBODY = '0.0.0.0'  # noqa: S104


class Gluster:
    """glusterd, through the command line of one node."""

    def __init__(self, line: console.Console) -> None:
        self._line = line

    # -- reads

    def peers(self, timeout: float = READ_TIMEOUT) -> tuple[Peer, ...]:
        """Give all nodes of the trusted storage pool, this one included.

        :param timeout: seconds.
        """
        answer = self._line.ask(
            'pool', 'list', timeout=timeout, read=True
        ).root
        return tuple(
            Peer(
                uuid=answers.text(peer, 'uuid'),
                hostname=answers.text(peer, 'hostname'),
                # glusterd leaves out who is connected and was rejected, say;
                # of itself it tells no state.
                connected=answers.text(peer, 'connected') == '1'
                and answers.text(peer, 'state') in ('', _IN_CLUSTER),
                names=frozenset(
                    name.text or ''
                    for name in peer.iterfind('hostnames/hostname')
                ),
            )
            for peer in answer.iterfind('peerStatus/peer')
        )

    def volume_names(self) -> frozenset[str]:
        """Give the names of all volumes."""
        listed = self._read('volume', 'list').iterfind('volList/volume')
        return frozenset(element.text or '' for element in listed)

    def volumes(self) -> dict[str, Volume]:
        """Give all volumes by name.

        ``volume info`` is one call per volume inside, and ends early, with
        success, when the volume it is at is deleted meanwhile. So each of
        ``volume list`` that is missing is asked for by name.
        """
        listed = self.volume_names()
        found = self._volumes()
        for name in listed - found.keys():
            if (volume := self.volume(name)) is not None:
                found[name] = volume
        return found

    def volumes_in_one_call(self) -> dict[str, Volume]:
        """Give volumes by name, by one question: it may leave some out."""
        return self._volumes()

    def volume(self, name: str) -> Volume | None:
        """Give one volume, or None if there is none of that name."""
        try:
            return self._volumes(name).get(name)
        except errors.NotFound:
            return None

    def snapshots(self) -> dict[str, Snapshot]:
        """Give all snapshots by name."""
        return answers.snapshots(self._read('snapshot', 'info'))

    def snapshot(self, name: str) -> Snapshot | None:
        """Give one snapshot, or None if there is none of that name."""
        try:
            answer = self._read('snapshot', 'info', name)
        except errors.NotFound:
            return None
        return answers.snapshots(answer).get(name)

    def snapshot_config(self, volume: str = '') -> SnapshotConfig:
        """Give what holds for snapshots: of a volume, or of the cluster."""
        words = (volume,) if volume else ()
        return answers.snapshot_config(
            self._read('snapshot', 'config', *words), volume
        )

    def brick_status(
        self, volume: str, *, brick: str = '', clients: bool = False
    ) -> tuple[BrickStatus, ...]:
        """Give the state of the bricks of a started volume.

        Takes the volume's lock in glusterd, unlike the other reads, and so
        may be refused as busy, and may make another command be. Of
        :data:`ALL_VOLUMES` volume what is stopped or busy is left out.

        A brick that has no client cannot list them. Its own node reports it
        without any; every other node ends with "Commit failed".

        :param brick: as ``host:/path``: this one alone.
        :param clients: whether to list the clients of each brick.
        """
        words = (*filter(None, [brick]), *(('clients',) if clients else ()))
        answer = self._line.ask('volume', 'status', volume, *words)
        return tuple(
            BrickStatus(
                node_uuid=answers.text(node, 'peerid'),
                path=answers.text(node, 'path'),
                online=answers.text(node, 'status') == '1',
                clients=frozenset(
                    answers.text(client, 'hostname').rpartition(':')[0]
                    for client in node.iterfind('clientsStatus/client')
                ),
            )
            for node in answer.root.iterfind('volStatus/volumes/volume/node')
            # The daemons of a volume stand in the same list.
            if answers.text(node, 'path').startswith('/')
        )

    def heal_state(
        self, volume: str, timeout: float = HEAL_TIMEOUT
    ) -> HealState:
        """Return what of a replicated volume is still to be healed.

        :param timeout: seconds; every brick is asked.
        """
        words = ('volume', 'heal', volume, 'info', 'summary')
        answer = self._line.ask(*words, timeout=timeout, own_process=True)
        return answers.heal_state(answer.root)

    def heal(self, volume: str, timeout: float) -> None:
        """Have the self-heal daemons heal a started volume now.

        Returns at once; :meth:`heal_state` tells how far they are.

        :param timeout: seconds.
        :raises errors.GlusterRefused: a brick is down, for one.
        """
        self._line.tell('volume', 'heal', volume, timeout=timeout)

    # -- writes

    def create_volume(
        self, name: str, layout: Iterable[str], bricks: Sequence[str]
    ) -> None:
        """Make a volume; it is not started.

        :param layout: such as ``replica 3``.
        :param bricks: each as ``host:/path``; the directory must not be.
        """
        self._line.ask('volume', 'create', name, *layout, *bricks)

    def start_volume(self, name: str, *, force: bool = False) -> None:
        """Start a volume; ``force`` also starts bricks that are down."""
        words = ('force',) if force else ()
        with console.already('already started'):
            self._line.ask('volume', 'start', name, *words)

    def stop_volume(self, name: str) -> None:
        """Stop a volume, in use or not; fine if there is none."""
        with (
            contextlib.suppress(errors.NotFound),
            console.already('is not in the started state'),
        ):
            self._line.ask('volume', 'stop', name, 'force')

    def delete_volume(self, name: str) -> None:
        """Make glusterd forget a stopped volume; its bricks stay."""
        with contextlib.suppress(errors.NotFound):
            self._line.ask('volume', 'delete', name)

    def write_volfiles(self, volume: str) -> None:
        """Have glusterd write all files of a volume that describe it.

        ``snapshot clone`` leaves that of the self-heal daemon out, and then
        no option of a replicated or dispersed clone can be changed before
        it is started: ``Commit failed on localhost``, and in glusterd's
        log ``stat on file: …-shd.vol failed`` (10.3 and 11.1). Of the
        commands that write all files, turning profiling on and off again
        is the one that neither needs the volume started nor leaves a trace.
        """
        with console.already('already started'):
            self._line.ask('volume', 'profile', volume, 'start')
        with console.already('is not started'):
            self._line.ask('volume', 'profile', volume, 'stop')

    def set_options(self, volume: str, options: Mapping[str, str]) -> None:
        """Set options in one transaction, all or none."""
        words = [word for pair in sorted(options.items()) for word in pair]
        self._line.ask('volume', 'set', volume, *words)

    def reset_option(self, volume: str, option: str) -> None:
        """Put an option back to its default; fine if it is not set."""
        self._line.ask('volume', 'reset', volume, option)

    def create_snapshot(self, name: str, volume: str) -> None:
        """Take a snapshot of a started volume; it is not activated."""
        self._line.ask('snapshot', 'create', name, volume, 'no-timestamp')

    def activate_snapshot(self, name: str, *, force: bool = False) -> None:
        """Start the bricks of a snapshot, so that it can be cloned.

        :param force: also where it is active on some nodes already.
        """
        words = ('force',) if force else ()
        with console.already('is already activated'):
            self._line.ask('snapshot', 'activate', name, *words)

    def deactivate_snapshot(self, name: str) -> None:
        """Stop the bricks of a snapshot.

        A peer where they are stopped already keeps the others from it.
        """
        with console.already('is already deactivated'):
            self._line.ask('snapshot', 'deactivate', name)

    def clone_snapshot(self, snapshot: str, volume: str) -> None:
        """Make a new volume of an activated snapshot; it is not started.

        The new volume has all options that the origin had.
        """
        self._line.ask('snapshot', 'clone', volume, snapshot)

    def delete_snapshot(self, name: str) -> None:
        """Delete a snapshot; fine if there is none.

        glusterd reports success also where it could not unmount or remove
        an LV: look at the LVs afterwards.
        """
        with contextlib.suppress(errors.NotFound):
            self._line.ask('snapshot', 'delete', name)

    def _volumes(self, *names: str) -> dict[str, Volume]:
        words = ('volume', 'info', *names)
        root = self._read(*words)
        try:
            return answers.volumes(root)
        except ValueError as error:
            # Another node may know better, or this one soon.
            raise errors.Garbled(
                self._line.name, ('gluster', *words), str(error)
            ) from error

    def _read(self, *words: str) -> ElementTree.Element:
        """Ask what changes nothing, and takes no lock."""
        return self._line.ask(*words, timeout=READ_TIMEOUT, read=True).root
