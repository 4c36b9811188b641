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
"""Run tempest in the network of a lab."""

import os
from pathlib import Path
import shutil
import subprocess

from tests.lab.errors import LabError
from tests.lab.manila import backends
from tests.lab.manila import environment
from tests.lab.manila import Manila
from tests.lab.manila import settings
from tests.tempest import configuration
from tests.tempest import results

#: All of the plugin's tests begin with this.
PLUGIN = r'manila_tempest_tests\.tests\.'

#: What has to do with a driver, and not with Manila's API alone.
OF_DRIVERS = (
    r'api\.(test_shares|test_shares_actions(_negative)?'
    r'|test_rules(_negative)?|test_access_rules_metadata|test_metadata'
    r'|test_snapshot_metadata|test_share_group_actions'
    r'|admin\.(test_shares_actions|test_export_locations(_negative)?'
    r'|test_scheduler_stats|test_multi_backend|test_share_instances'
    r'|test_share_snapshot_instances|test_admin_actions))\.'
)


def regex(this: configuration.Pass, wanted: str) -> str:
    """What finds the tests of a pass, of those that are wanted."""
    return f'^(?={PLUGIN}{this.tests}).*(?:{wanted})'


class Tempest:
    """Tempest, and what it is to be run against.

    :param directory: where its workspace goes.
    :param workers: how many tests are run at once.
    """

    def __init__(
        self,
        manila: Manila,
        installed: environment.Environment,
        directory: Path,
        workers: int = 2,
    ) -> None:
        self._manila = manila
        self._environment = installed
        self._directory = directory
        self._workers = workers
        self._can = {
            backend: configuration.capabilities(manila, backend)
            for backend in backends.BACKENDS
        }

    def run(
        self, wanted: str, this: configuration.Pass
    ) -> list[results.Result]:
        """Run the tests of a pass that *wanted*, a regex, finds.

        :raises LabError: when tempest cannot do its work.
        """
        work = self._directory / this.name
        shutil.rmtree(work, ignore_errors=True)
        (work / 'locks').mkdir(parents=True)
        packages = next(
            self._environment.directory.glob('lib/*/site-packages')
        )
        (work / '.stestr.conf').write_text(
            '[DEFAULT]\n'
            f'test_path={packages}/tempest/test_discover\n'
            f'top_dir={packages}\n'
            r'group_regex=([^\.]*\.)*' + '\n'
        )
        conf = work / 'tempest.conf'
        excluded = work / 'excluded'
        excluded.write_text(
            ''.join(f'{test}\n' for test in results.excluded(this.name))
        )
        self._serve(this.served)
        conf.write_text(configuration.text(self._can[this.rules], this, work))
        self._call(work, 'stestr', 'init')
        self._call(
            *(work, 'tempest', 'run', '--config-file', str(conf)),
            *('--concurrency', str(self._workers)),
            *('--exclude-list', str(excluded)),
            *('--regex', regex(this, wanted)),
            check=False,
        )
        # It, too, ends as the run did.
        stream = self._call(
            *(work, 'stestr', 'last', '--subunit'), quiet=True, check=False
        )
        return results.parse(
            self._call(
                *(work, 'python', results.__file__),
                stdin=stream,
                quiet=True,
            ).decode()
        )

    def _serve(self, served: tuple[str, ...]) -> None:
        """Have the scheduler choose from these back ends alone."""
        for backend in backends.BACKENDS:
            self._manila.admin.run(
                *('share', 'service', 'set'),
                *(settings.place(backend), 'manila-share'),
                '--enable' if backend in served else '--disable',
            )

    def _call(
        self,
        work: Path,
        program: str,
        *argv: str,
        stdin: bytes = b'',
        quiet: bool = False,
        check: bool = True,
    ) -> bytes:
        """Run one of its programs; what it says is seen, unless *quiet*."""
        done = subprocess.run(
            self._manila.lab.network.inside(
                self._environment.program(program), *argv
            ),
            input=stdin,
            stdout=subprocess.PIPE if quiet else None,
            cwd=work,
            env={
                'PATH': (
                    f'{self._environment.directory / "bin"}:'
                    f'{os.environ.get("PATH", os.defpath)}'
                ),
                'HOME': str(work),
                'LC_ALL': 'C.UTF-8',
                'PYTHONWARNINGS': 'ignore',
            },
        )
        if check and done.returncode != 0:
            raise LabError(f'{program} {argv[0]} ended with {done.returncode}')
        return done.stdout or b''
