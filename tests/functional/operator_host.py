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
"""A host on which an operator runs the commands, for the cluster of a lab.

The commands run in processes of their own, with a database of Manila that has
the shares of the stand-in for Manila, too.
"""

import configparser
import dataclasses
import datetime
import json
import pathlib
import subprocess
import sys
from typing import Any

from manila import context
from manila import db
from manila.db.sqlalchemy import api as db_api
from manila.db.sqlalchemy import models
from oslo_config import cfg
from oslo_db import options as db_options
from prometheus_client import parser

from manila_glusterfs_clone.cmd import metric_families
from tests.functional import manila_stand_in

HOST = 'operator'
BACKEND = manila_stand_in.IP
_ROOT = pathlib.Path(__file__).parents[2]
_TIMEOUT = 300


class Database:
    """A database of Manila in a file."""

    def __init__(self, path: pathlib.Path) -> None:
        self.url = f'sqlite:///{path}'
        self._context = context.get_admin_context()
        db_options.set_defaults(cfg.CONF, connection=self.url)
        models.BASE.metadata.create_all(db_api.get_engine())

    def add_share(self) -> str:
        """Add an available share; return the id of its instance."""
        share = db.share_create(
            self._context,
            {
                'size': 1,
                'share_proto': 'GLUSTERFS',
                'host': f'{HOST}@{BACKEND}#{manila_stand_in.POOL}',
                'status': 'available',
                'project_id': 'a-project',
                'user_id': 'a-user',
            },
        )
        return str(share.instance['id'])

    def add_rule(self, instance_id: str, address: str) -> None:
        """Add an access rule that Manila has applied."""
        instance = db.share_instance_get(self._context, instance_id)
        rule = db.share_access_create(
            self._context,
            {
                'share_id': instance['share_id'],
                'access_type': 'ip',
                'access_to': address,
                'access_level': 'rw',
            },
        )
        db.share_instance_access_update(
            self._context, rule['id'], instance_id, {'state': 'active'}
        )

    def delete_share(self, instance_id: str, hours: float = 2) -> None:
        """Have an instance have been deleted so many hours ago.

        Manila's own function needs two transactions at a time, which SQLite
        does not have.
        """
        when = datetime.datetime.now(datetime.timezone.utc).replace(
            tzinfo=None
        ) - datetime.timedelta(hours=hours)
        table = models.ShareInstance.__table__
        with db_api.get_engine().begin() as connection:
            connection.execute(
                table.update()
                .where(table.c.id == instance_id)
                .values(status='deleted', deleted=instance_id, deleted_at=when)
            )

    def clear(self) -> None:
        """Remove the rows of all shares."""
        with db_api.get_engine().begin() as connection:
            for table in reversed(models.BASE.metadata.sorted_tables):
                connection.execute(table.delete())


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of a command that printed JSON."""
        rows: list[dict[str, Any]] = json.loads(self.stdout)
        return rows


class OperatorHost:
    """Runs the commands with the configuration of a manila-share.

    :param conf: the path of the manila.conf of the driver in this process; its
        directory of locks is used, too.
    :param directory: where the files of this host go.
    """

    def __init__(self, conf: str, directory: pathlib.Path) -> None:
        self.database = Database(directory / 'manila.sqlite')
        self._conf = directory / 'manila.conf'
        sections = configparser.RawConfigParser()
        sections.read(conf)
        sections['DEFAULT']['host'] = HOST
        sections['DEFAULT']['transport_url'] = 'fake:/'
        sections['database'] = {'connection': self.database.url}
        lines = []
        for name, options in (
            ('DEFAULT', sections.defaults()),
            *((each, sections[each]) for each in sections.sections()),
        ):
            lines.append(f'[{name}]')
            lines += [
                f'{key} = {value}'
                for key, value in options.items()
                if name == 'DEFAULT' or key not in sections.defaults()
            ]
        self._conf.write_text('\n'.join(lines) + '\n')

    def create(
        self, manila: manila_stand_in.ManilaStandIn
    ) -> manila_stand_in.Share:
        """Create a share that the database of Manila has, too."""
        return manila.create(1, share_id=self.database.add_share())

    def allow(
        self,
        manila: manila_stand_in.ManilaStandIn,
        share: manila_stand_in.Share,
        address: str,
    ) -> None:
        """Admit a client, in the database, too."""
        manila.allow(share, address)
        self.database.add_rule(share.id, address)

    def run(self, *words: str) -> Outcome:
        """Run a command for the back end with address rules."""
        done = subprocess.run(
            [
                sys.executable,
                '-m',
                'manila_glusterfs_clone.cmd.main',
                *words,
                f'--config-file={self._conf}',
                f'--backend={BACKEND}',
            ],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        assert 'Traceback' not in done.stderr, done.stderr
        return Outcome(done.returncode, done.stdout, done.stderr)

    def list(self, *words: str) -> Outcome:
        """Run a command that prints a table, with JSON instead."""
        outcome = self.run(*words, '--json')
        assert outcome.status in (0, 1, 2), outcome
        return outcome

    def metrics(self) -> dict[tuple[str, str], float]:
        """Return the metrics, by name and by the label that is not common."""
        outcome = self.run('metrics')
        assert outcome.status == 0, outcome
        return {
            (
                sample.name.removeprefix(metric_families.PREFIX),
                ','.join(
                    value
                    for label, value in sorted(sample.labels.items())
                    if label != 'backend'
                ),
            ): sample.value
            for family in parser.text_string_to_metric_families(outcome.stdout)
            for sample in family.samples
        }
