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

The methods that read are in
:mod:`~manila_glusterfs_clone.tools.gluster.queries`. The methods that start,
stop, activate, deactivate or delete an object are idempotent. All methods
raise the errors of
:meth:`~manila_glusterfs_clone.tools.gluster.console.Console.run`.
"""

from collections.abc import Iterable, Mapping, Sequence
import contextlib

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools.gluster import console_with_peers
from manila_glusterfs_clone.tools.gluster import queries
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

READ_TIMEOUT = queries.READ_TIMEOUT
HEAL_TIMEOUT = queries.HEAL_TIMEOUT
ALL_VOLUMES = queries.ALL_VOLUMES

#: An IP address that no client has. An access list with only this address
#: denies all.
NO_CLIENT = '0.0.0.0'  # noqa: S104


class Gluster(queries.Queries):
    """A client of glusterd that uses the gluster command line of one node."""

    def peers_first(self, timeout: float) -> 'PeersFirst':
        """Return a client that reads the peers with its first command.

        :param timeout: seconds for reading the peers.
        """
        return PeersFirst(
            console_with_peers.PeersFirst(self._console, timeout)
        )

    def heal(self, volume: str, timeout: float) -> None:
        """Make the self-heal daemons heal a started volume now.

        This method does not wait until the volume is healed;
        :meth:`heal_state` returns the progress.

        :raises errors.GlusterRefused: for example, a brick is down.
        """
        self._console.run_without_xml(
            'volume', 'heal', volume, timeout=timeout
        )

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


class PeersFirst(Gluster):
    """A client that reads the peers in the request of its first command."""

    _console: console_with_peers.PeersFirst

    def peers(self, timeout: float = READ_TIMEOUT) -> tuple[Peer, ...]:
        """Return the peers that were read, or raise the error of the read."""
        return xml_output.peers(self._console.peers().root)
