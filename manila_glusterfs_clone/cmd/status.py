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
"""The commands ``status …``: show the state of back ends and their parts."""

import abc
import argparse
from collections.abc import Iterator, Sequence
import datetime

from manila_glusterfs_clone.cmd import backend_state
from manila_glusterfs_clone.cmd import base
from manila_glusterfs_clone.cmd import columns
from manila_glusterfs_clone.cmd import manila_conf
from manila_glusterfs_clone.cmd import progress
from manila_glusterfs_clone.maintenance import pass_records
from manila_glusterfs_clone import options

Row = Sequence[object]


class _Status(base.Lister):
    """Show a part of the state of back ends."""

    COLUMNS: Sequence[str] = ()

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_configuration_arguments(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], base.Rows]:
        """Return the rows of all back ends."""
        sections = manila_conf.load(parsed_args)
        manila_conf.require_database()
        rows: list[Row] = []
        for section in sections:
            with (
                progress.shown(
                    f'Reading back end {section.name}', self.app.stderr
                ),
                section.open() as backend,
            ):
                read = backend_state.read(backend, section.service_host)
                settings = backend.services.settings
            if not is_healthy(read):
                self.exit_status = base.ExitStatus.WARNING
            if read.failure:
                self.app.stderr.write(
                    f'{self.app.NAME}: back end {section.name}: '
                    f'{base.first_line(Exception(read.failure))}\n'
                )
            rows += ((section.name, *row) for row in self.rows(read, settings))
        return ('Back end', *self.COLUMNS), rows

    @abc.abstractmethod
    def rows(
        self, read: backend_state.BackendState, settings: options.Settings
    ) -> Iterator[Row]:
        """Yield the rows of one back end, without its name."""


def is_healthy(read: backend_state.BackendState) -> bool:
    """Return whether a back end has no faults, and no part is offline."""
    return (
        read.state is not None
        and read.state.is_complete
        and not read.faults
        and not read.offline_share_ids
    )


class Status(_Status):
    """Show one line for each back end.

    "Last maintenance" is the last pass that a manila-share of this back end
    recorded in Manila's database, on any host. "status maintenance" shows the
    actions of this pass. "reconcile" lists the differences from Manila's
    database.
    """

    COLUMNS = (
        'Health',
        'Nodes',
        'Pools',
        'Shares',
        'Snapshots',
        'Offline shares',
        'Bricks online',
        'Differences',
        'Last maintenance',
        'Outcome',
    )

    def rows(
        self, read: backend_state.BackendState, settings: options.Settings
    ) -> Iterator[Row]:
        health = columns.Coloured('ok', columns.GREEN)
        if read.state is None:
            health = columns.Coloured('unreachable', columns.RED)
        elif not is_healthy(read):
            health = columns.Coloured('degraded', columns.YELLOW)
        bricks = read.bricks
        last = read.history.last
        yield (
            health,
            f'{read.connected_count}/{len(settings.nodes)}',
            len(settings.pools),
            len(read.shares),
            len(read.snapshots),
            len(read.offline_share_ids),
            f'{sum(brick.is_online is True for brick in bricks)}'
            f'/{len(bricks)}',
            len(read.differences),
            columns.Time(last.began_at if last else None),
            last.outcome if last else '',
        )


class StatusPools(_Status):
    """Show the thin pools on each node."""

    COLUMNS = (
        'Pool',
        'Node',
        'Size',
        'Data',
        'Metadata',
        'Provisioned',
        'Next share',
        'Health',
    )

    def rows(
        self, read: backend_state.BackendState, settings: options.Settings
    ) -> Iterator[Row]:
        limits = settings.limits
        for node_pool in read.node_pools:
            pool, fault = node_pool.pool, node_pool.fault
            capacity = read.capacities.get(pool.name)
            yield (
                pool.name,
                node_pool.node,
                columns.Size(pool.size),
                columns.Percent(pool.data_percent, limits.data_percent),
                columns.Percent(
                    pool.metadata_percent, limits.metadata_percent
                ),
                columns.Size(pool.provisioned),
                columns.Size(capacity.free_bytes if capacity else 0),
                columns.Coloured(
                    fault.kind if fault else 'ok',
                    columns.RED if fault else columns.GREEN,
                ),
            )


class StatusShares(_Status):
    """Show the shares in Manila's database, and their volumes."""

    COLUMNS = ('Share instance', 'Status', 'Volume', 'Bricks', 'Offline')

    def rows(
        self, read: backend_state.BackendState, settings: options.Settings
    ) -> Iterator[Row]:
        for share_id, share in sorted(read.shares.items()):
            volume = read.state.volume(share_id) if read.state else None
            parts = (
                sorted(read.state.offline_parts(share_id))
                if read.state and share_id in read.offline_share_ids
                else []
            )
            yield (
                share_id,
                share.status,
                read.volume_status(share_id),
                len(volume.bricks) if volume else 0,
                columns.Lines(parts),
            )


class StatusBricks(_Status):
    """Show the bricks of all shares."""

    COLUMNS = ('Share instance', 'Node', 'Path', 'Online')

    def rows(
        self, read: backend_state.BackendState, settings: options.Settings
    ) -> Iterator[Row]:
        for brick in read.bricks:
            online = {True: 'yes', False: 'no', None: 'unknown'}
            yield (
                brick.share_id,
                brick.node,
                brick.path,
                columns.Coloured(
                    online[brick.is_online],
                    columns.RED if brick.is_online is False else '',
                ),
            )


class StatusMaintenance(_Status):
    """Show the last pass of maintenance, and its last actions.

    manila-share records them in Manila's database. A pass that corrects
    nothing has no actions.
    """

    COLUMNS = ('Time', 'What', 'Message')

    def rows(
        self, read: backend_state.BackendState, settings: options.Settings
    ) -> Iterator[Row]:
        last = read.history.last
        if last is None:
            yield columns.Time(None), 'pass', _without_record(settings)
            return
        yield columns.Time(last.began_at), last.occasion, describe(last)
        for action in read.history.actions:
            yield columns.Time(action.at), 'action', action.message


def describe(record: pass_records.PassRecord) -> str:
    """Return the outcome of a pass as a sentence."""
    texts = {
        pass_records.DONE: 'all steps were done',
        pass_records.FAILED: record.failure or 'steps failed',
        pass_records.INCOMPLETE: (
            'a node did not answer, so deletions and orphans wait'
        ),
    }
    text = f'{record.outcome}: {texts.get(record.outcome, record.outcome)}'
    if record.failed_steps:
        text += f' ({", ".join(record.failed_steps)})'
    return f'{text}; it took {datetime.timedelta(seconds=record.seconds)}'


def _without_record(settings: options.Settings) -> str:
    if not settings.reconcile_interval:
        return (
            'no pass is recorded: glusterfs_clone_reconcile_interval is 0, so '
            'manila-share runs no passes'
        )
    return (
        f'no pass is recorded: since its upgrade, manila-share has not run, '
        f'or has run for less than {settings.reconcile_interval:g} s'
    )
