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
"""The driver's back end on top of the model, and the expected shares."""

from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
import importlib
import pkgutil
import time
import types
from unittest import mock

import pytest

import manila_glusterfs_clone
from manila_glusterfs_clone import backend
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.maintenance import healing
from manila_glusterfs_clone.operations import snapshot_deactivation
from manila_glusterfs_clone import options
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.protocols import access_levels
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.tools import gluster
from tests import key_files
from tests.model import glusterd_state
from tests.model import invariants
from tests.model import link
from tests.model import model_cluster
from tests.model.shared_dict import SharedDict

GIB = invariants.GIB
THIN_POOL = 'gvg/pool'

#: Their time is that of the network, which the model does without.
_REAL_TIME = {
    'manila_glusterfs_clone.ssh.channels',
    'manila_glusterfs_clone.ssh.connector',
    'manila_glusterfs_clone.ssh.transports',
}


def settings(
    pool: model_cluster.ModelCluster, **changes: object
) -> options.Settings:
    """Return the settings of a back end on all nodes of a cluster."""
    usual = options.Settings(
        backend='model',
        nodes=tuple(pool.nodes),
        ssh_port=22,
        ssh_user='manila',
        ssh_private_key=key_files.private_key(),
        ssh_known_hosts=key_files.known_hosts(),
        pools=(THIN_POOL, 'gvg/other'),
        layout='auto',
        brick_root=invariants.BRICK_ROOT,
        tls=False,
        tls_server_names=(),
        limits=options.Limits(
            data_percent=95, metadata_percent=85, oversubscription=20.0
        ),
        settle_timeout=600,
        lock_timeout=900,
        reconcile_interval=0,
        orphan_grace=3600,
        orphans='remove',
    )
    return dataclasses.replace(usual, **changes)  # type: ignore[arg-type]


def rooms() -> Iterator[types.ModuleType]:
    """Yield the modules of the driver that read the clock."""
    all_names = {
        info.name
        for info in pkgutil.walk_packages(
            manila_glusterfs_clone.__path__, 'manila_glusterfs_clone.'
        )
    }
    assert all_names >= _REAL_TIME, 'a module was renamed'
    for name in sorted(all_names - _REAL_TIME):
        module = importlib.import_module(name)
        if getattr(module, 'time', None) is time:
            yield module


_ROOMS = tuple(rooms())


@contextlib.contextmanager
def in_time_of(pool: model_cluster.ModelCluster) -> Iterator[None]:
    """Run the driver in the time of a cluster."""
    with contextlib.ExitStack() as stack:
        for room in _ROOMS:
            stack.enter_context(mock.patch.object(room, 'time', pool.time))
        stack.enter_context(
            mock.patch.object(
                snapshot_deactivation.SnapshotUses,
                '_start_thread',
                lambda uses: pool.time.defer(uses),
            )
        )
        yield


def open_backend(process: link.Process, **changes: object) -> backend.Backend:
    """Make a back end whose nodes are those of a model."""
    with mock.patch.object(commands, 'Remote', process.connect):
        return backend.Backend.open(
            settings(process.pool, **changes), None, 'host@model'
        )


def _granted_level(
    before: Mapping[str, str], levels: Mapping[str, str]
) -> str | None:
    """Return the level that the driver must grant if rules have both levels.

    Granted rules whose level stays the same take precedence, then granted
    rules whose level changes, then new rules with the level ``rw``.
    """
    kept = [each for a, each in levels.items() if before.get(a) == each]
    changed = [each for a, each in levels.items() if a in before]
    return next(iter([*kept, *changed, *sorted(levels.values())[::-1]]), None)


class ModelBackend:
    """The operations of a back end, and the expected result of each."""

    def __init__(self, process: link.Process, **changes: object) -> None:
        self.process = process
        self.pool = process.pool
        self.backend = open_backend(process, **changes)
        self.services = self.backend.services
        self.healer = healing.Healer(self.services)
        self.shares: dict[str, invariants.Share] = SharedDict()
        self.snapshots: dict[str, tuple[str, int, str]] = SharedDict()
        #: What took how many seconds, by the names of budgets.USUAL.
        self.took: list[tuple[str, float]] = []
        name = settings(self.pool, **changes).backend
        self.pool.observer.entitled[name] = self._entitled
        self.pool.observer.read_only[name] = self._is_reader

    @contextlib.contextmanager
    def _timed(self, operation: str) -> Iterator[None]:
        begun = self.pool.time.now
        try:
            yield
        finally:
            self.took.append((operation, self.pool.time.now - begun))

    def _entitled(self, volume: str, address: str) -> bool:
        return any(
            share.volume == volume and address in share.kept
            for share in self.shares.values()
        )

    def _is_reader(self, volume: str, address: str) -> bool:
        return any(
            share.volume == volume and address in share.readers
            for share in self.shares.values()
        )

    def create(self, share: str, size: int = 1) -> gluster.Volume:
        with self._timed('create share'):
            made = self.services.shares.create(
                share, THIN_POOL, size * GIB, self.services.layout()
            )
        self.shares[share] = invariants.Share(share, size)
        return made

    def snapshot(self, snapshot: str, share: str) -> None:
        with self._timed('create snapshot'):
            self.services.snapshots.create(snapshot, share)
        origin = self.shares[share]
        self.snapshots[snapshot] = (share, origin.size, origin.data)

    def clone(
        self, share: str, snapshot: str, size: int = 1
    ) -> gluster.Volume:
        pool_names: list[str] = []
        with self._timed('clone and grow'):
            made = self.services.clones.create(
                share, [THIN_POOL], size * GIB, snapshot, pool_names.append
            )
        assert {*pool_names} <= {THIN_POOL}
        self.adopt(share, snapshot, size)
        return made

    def adopt(self, share: str, snapshot: str, size: int) -> None:
        """Expect a clone that exists."""
        data = self.snapshots[snapshot][2]
        self.shares[share] = invariants.Share(share, size, data)

    def extend(self, share: str, size: int) -> None:
        with self._timed('extend'):
            self.services.shares.extend(share, size * GIB)
        self.shares[share].size = size

    def delete(self, share: str) -> None:
        if share in self.shares:
            self.shares[share].kept.clear()
            self.shares[share].readers.clear()
        with self._timed('delete a clone'):
            self.services.shares.delete(share)
        self.shares.pop(share, None)

    def delete_snapshot(self, snapshot: str) -> None:
        share = self.snapshots[snapshot][0]
        with self._timed('delete snapshot'):
            self.services.snapshots.delete(snapshot, share)
        del self.snapshots[snapshot]

    def gluster(self, *words: str) -> None:
        """Run a gluster command of an operator, which must succeed."""
        answer = self.pool.glusterd.ask(self.pool.nodes['gl1'], words)
        assert '<opRet>0</opRet>' in answer, answer

    def restore(self, snapshot: str) -> None:
        """Restore a snapshot by hand, as an operator; this consumes it."""
        share_id, size, data = self.snapshots.pop(snapshot)
        share = self.shares[share_id]
        volume = self.pool.state.volumes[share.volume]
        share.former += volume.bricks
        self.gluster('volume', 'stop', share.volume)
        self.gluster('snapshot', 'restore', f'manila-snap-{snapshot}')
        self.gluster('volume', 'start', share.volume)
        self.pool.time.advance(5.0)
        # By and by the kernel writes back what nobody has synced.
        for node in self.pool.nodes.values():
            node.files.sync_all()
        share.size, share.data = size, data
        share.allow = volume.options['auth.allow']
        share.kept.clear()
        share.readers.clear()
        level = 'ro' if glusterd_state.is_read_only(volume) else 'rw'
        addresses = {*share.allow.split(',')} - {'0.0.0.0'}
        share.levels = dict.fromkeys(addresses, level)

    def allow(
        self, share: str, *addresses: str, level: str = 'rw'
    ) -> dict[str, errors.NotPossible]:
        """Admit exactly these addresses; all of them mount the share."""
        return self.set_rules(share, dict.fromkeys(addresses, level))

    def set_rules(
        self, share: str, levels: Mapping[str, str]
    ) -> dict[str, errors.NotPossible]:
        """Admit exactly these addresses, with these levels; all mount it."""
        rules = [protocols.Rule(a, 'ip', a, levels[a]) for a in levels]
        known = self.shares[share]
        old = [
            rule
            for rule in rules
            if known.levels.get(rule.access_to) == rule.access_level
        ]
        level = _granted_level(known.levels, levels)
        granted = {a: each for a, each in levels.items() if each == level}
        known.kept &= {*granted}
        if level == 'rw':
            known.readers -= {*granted}
        with self._timed('deny access'):
            refused = self.services.shares.update_access(
                share,
                old,
                [rule for rule in rules if rule not in old],
                is_revoking=any(
                    levels.get(a) != each for a, each in known.levels.items()
                ),
            )
        differing = {
            access_to
            for access_to, error in refused.items()
            if isinstance(error, access_levels.AccessLevelsDiffer)
        }
        assert differing == levels.keys() - granted.keys(), refused
        granted = {a: each for a, each in granted.items() if a not in refused}
        known = self.shares[share]
        known.levels = granted
        known.allow = ','.join(sorted(granted)) or '0.0.0.0'
        known.kept.update(granted)
        known.readers = {*granted} if level == 'ro' else set()
        for address in granted:
            self.pool.mount(address, known.volume)
        return refused

    def write(self, share: str, data: str) -> None:
        """Write into a share, as a client; fail if it is read-only."""
        known = self.shares[share]
        if known.level == 'ro':
            with pytest.raises(OSError, match='Read-only'):
                self.pool.write(known.volume, data)
            return
        if known.level is None:
            # A volume without rules keeps its level, and has no client.
            volume = self.pool.state.volumes[known.volume]
            if glusterd_state.is_read_only(volume):
                return
        self.pool.write(known.volume, data)
        known.data = data

    def heal(self) -> None:
        """Heal all shares, as when manila-share starts; all must succeed."""
        healed = self.healer.heal(list(self.shares))
        for share, state in healed.items():
            assert isinstance(state, gluster.Volume), f'{share}: {state}'

    def heal_all(self) -> None:
        """Heal all shares, as when manila-share starts."""
        self.healer.heal(list(self.shares))

    def problems(self) -> list[str]:
        return invariants.problems(
            self.pool, list(self.shares.values()), set(self.snapshots)
        )

    def check(self) -> None:
        """Fail if anything is left over, missing or incomplete."""
        self.pool.time.run_deferred()
        # What has been told to stop gets the time for it.
        self.pool.time.advance(5.0)
        found = self.problems()
        assert not found, '\n'.join(found)
