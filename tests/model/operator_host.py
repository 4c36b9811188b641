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
"""A host on which an operator runs the commands, over a model."""

from collections.abc import Iterator
import contextlib
import dataclasses
import json
import pathlib
from typing import Any
from unittest import mock

from manila import rpc
from oslo_concurrency import lockutils
from oslo_config import cfg
import pytest

from manila_glusterfs_clone.cmd import main
from manila_glusterfs_clone.cmd import manila_conf
from manila_glusterfs_clone.ssh import commands
from tests import key_files
from tests.model import link
from tests.model import model_backend
from tests.model import model_cluster

SECTION = 'model'


@dataclasses.dataclass
class Outcome:
    """How a command ended, and what it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of a command that was run with ``--json``."""
        assert self.stdout, self
        rows: list[dict[str, Any]] = json.loads(self.stdout)
        return rows


class OperatorHost:
    """A host with a manila.conf, whose nodes are those of a model."""

    def __init__(
        self,
        pool: model_cluster.ModelCluster,
        directory: pathlib.Path,
        capture: pytest.CaptureFixture[str],
    ) -> None:
        self.pool = pool
        self.directory = directory
        self.process = link.Process(pool)
        #: The directory of locks, as that of a manila-share in this process.
        self.lock_path = lockutils.get_lock_path(cfg.CONF) or str(directory)
        self._capture = capture
        self.options: dict[str, dict[str, str]] = {
            'DEFAULT': {
                'host': 'host',
                'state_path': str(directory),
                'transport_url': 'fake:/',
                'enabled_share_backends': SECTION,
                'enabled_share_protocols': 'GLUSTERFS',
            },
            'database': {'connection': 'sqlite://'},
            'oslo_concurrency': {'lock_path': self.lock_path},
            SECTION: {
                'share_backend_name': SECTION,
                'share_driver': manila_conf.DRIVER,
                'driver_handles_share_servers': 'False',
                'glusterfs_clone_nodes': ','.join(pool.nodes),
                'glusterfs_clone_pools': model_backend.THIN_POOL,
                'glusterfs_clone_ssh_private_key': key_files.private_key(),
                'glusterfs_clone_ssh_known_hosts': key_files.known_hosts(),
                'glusterfs_clone_reconcile_interval': '0',
            },
        }

    @property
    def section(self) -> dict[str, str]:
        return self.options[SECTION]

    @property
    def file(self) -> pathlib.Path:
        return self.directory / 'manila.conf'

    def write(self) -> None:
        """Write manila.conf."""
        self.file.write_text(
            ''.join(
                f'[{name}]\n'
                + ''.join(f'{key} = {value}\n' for key, value in each.items())
                for name, each in self.options.items()
            )
        )

    @contextlib.contextmanager
    def _over_the_model(self) -> Iterator[None]:
        self.process = link.Process(self.pool)
        with (
            model_backend.in_time_of(self.pool),
            mock.patch.object(commands, 'Remote', self.process.connect),
        ):
            yield

    def run(self, *words: str) -> Outcome:
        """Write manila.conf, and run a command with it."""
        self.write()
        return self.run_as_it_is(*words, f'--config-file={self.file}')

    def run_as_it_is(self, *words: str) -> Outcome:
        """Run a command."""
        self._capture.readouterr()
        with (
            _configuration_restored(),
            self._over_the_model(),
            contextlib.ExitStack() as stack,
        ):
            if '--apply' not in words:
                # The process of a command that only reads has no connection
                # to the message queue.
                stack.enter_context(mock.patch.object(rpc, 'TRANSPORT', None))
            status = main.main(words)
        captured = self._capture.readouterr()
        return Outcome(status, captured.out, captured.err)


@contextlib.contextmanager
def _configuration_restored() -> Iterator[None]:
    """Give this process its configuration back after a command."""
    # Absent if this process has no configuration yet.
    files = getattr(cfg.CONF, 'default_config_files', None)
    try:
        yield
    finally:
        cfg.CONF.reset()
        if files:
            cfg.CONF([], project='manila', default_config_files=files)
