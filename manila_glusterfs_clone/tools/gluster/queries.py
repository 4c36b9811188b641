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
"""Ask glusterd: one typed method for each command that changes nothing.

The methods return frozen dataclasses of
:mod:`~manila_glusterfs_clone.tools.gluster.xml_output`. All methods raise the
errors of :meth:`~manila_glusterfs_clone.tools.gluster.console.Console.run`.
"""

from collections.abc import Sequence
from xml.etree import ElementTree

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools.gluster import console
from manila_glusterfs_clone.tools.gluster import xml_output

Peer = xml_output.Peer
Volume = xml_output.Volume
Snapshot = xml_output.Snapshot
SnapshotConfig = xml_output.SnapshotConfig
BrickStatus = xml_output.BrickStatus
HealState = xml_output.HealState

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


class Queries:
    """The commands of gluster that change nothing, on one node."""

    def __init__(self, commands: console.Console) -> None:
        self._console = commands

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

    def snapshot_and_origin(
        self, snapshot: str, volume: str
    ) -> tuple[Snapshot | None, Volume | None, SnapshotConfig | None]:
        """Return a snapshot, a volume and its snapshot options.

        All are read in one request.

        :return: None for each object that does not exist. The options are
            None if the volume does not exist.
        """
        answers = self._console.try_read_all(
            ('snapshot', 'info', snapshot),
            (*_VOLUMES, volume),
            ('snapshot', 'config', volume),
            timeout=READ_TIMEOUT,
        )
        snapshot_answer, volume_answer, config_answer = answers
        found_snapshot = found_volume = config = None
        if not isinstance(snapshot_answer, errors.NotFound):
            root = _root(snapshot_answer)
            found_snapshot = xml_output.snapshots(root).get(snapshot)
        if not isinstance(volume_answer, errors.NotFound):
            words = (*_VOLUMES, volume)
            volumes = self._parse_volumes(words, _root(volume_answer))
            found_volume = volumes.get(volume)
        if found_volume is not None:
            config = xml_output.snapshot_config(_root(config_answer), volume)
        return found_snapshot, found_volume, config

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


def _root(answer: console.Answer | errors.Error) -> ElementTree.Element:
    """Return the XML of an answer, or raise the error of the command."""
    if isinstance(answer, errors.Error):
        raise answer
    return answer.root
