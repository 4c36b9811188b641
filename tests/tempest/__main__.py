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
"""Run manila-tempest-plugin against the driver, on a lab.

The exit status is 0 if no test has failed, each skipped test has a known
reason, and nothing is left on the nodes.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
import contextlib
from pathlib import Path
import sys
import tempfile
import time

from tests import lab as lab_module
from tests.lab import manila as manila_module
from tests.lab.manila import environment
from tests.tempest import configuration
from tests.tempest import results
from tests.tempest import run


def main() -> int:
    """Bring the lab up, run the tests, say what came of them."""
    arguments = _parser().parse_args()
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f'{time.monotonic() - begun:6.1f} s  {text}', flush=True)

    wanted = arguments.regex
    if arguments.of_drivers:
        wanted = f'{run.OF_DRIVERS}.*(?:{wanted})'
    installed = environment.of_tempest(say)
    table = []
    wrong = []
    with contextlib.ExitStack() as stack:
        manila = stack.enter_context(_manila(arguments, say))
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        tempest = run.Tempest(
            *(manila, installed, Path(directory), arguments.workers)
        )
        for this in configuration.PASSES:
            if arguments.passes and this.name not in arguments.passes:
                continue
            say(f'pass {this.name}')
            since = time.monotonic()
            bookmarks = {
                service: service.bookmark()
                for service in manila.share_services
            }
            found = tempest.run(wanted, this)
            minutes = (time.monotonic() - since) / 60
            table.append(_row(this.name, found, minutes))
            wrong += _wrong(found)
            for service, bookmark in bookmarks.items():
                wrong += results.log_of_first_failure(
                    found, service.log(bookmark)
                )
            # Tempest deletes what it makes; then the hosts are asked.
            shares, snapshots = manila.living()
            wrong += [f'tempest left the share {each}' for each in shares]
            wrong += [f'tempest left the snapshot {x}' for x in snapshots]
            manila.clean()
            wrong += [f'left on the nodes: {each}' for each in manila.leaks()]
    print('\n'.join(['', *wrong, '', *table]))
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='tools/tempest', description=__doc__)
    parser.add_argument(
        'regex', nargs='?', default='', help='the tests to run; all if none'
    )
    parser.add_argument(
        '--of-drivers',
        action='store_true',
        help='leave out what has to do with the API of Manila alone',
    )
    parser.add_argument('--release', choices=['10.3', '11.1'], default='11.1')
    parser.add_argument('--nodes', type=int, default=1)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument(
        '--pass',
        dest='passes',
        action='append',
        choices=[each.name for each in configuration.PASSES],
        help='only this of the passes; can be given again',
    )
    parser.add_argument(
        '--lab', help='use a lab that is up, with a control plane'
    )
    return parser


@contextlib.contextmanager
def _manila(
    arguments: argparse.Namespace, say: Callable[[str], None]
) -> Iterator[manila_module.Manila]:
    if arguments.lab:
        lab = lab_module.Lab.attach(arguments.lab)
        yield manila_module.Manila.attach(lab)
        return
    with (
        lab_module.Lab(
            arguments.release, nodes=arguments.nodes, clients=0, say=say
        ) as lab,
        manila_module.Manila(lab, say=say) as manila,
    ):
        yield manila


def _row(name: str, found: list[results.Result], minutes: float) -> str:
    """A line of the table that closes a run."""
    count = Counter(result.status for result in found)
    return (
        f'{name:6}  ran {len(found):5}  passed {count["success"]:5}  '
        f'skipped {count["skip"]:5}  failed {count["fail"]:3}  '
        f'{minutes:5.1f} minutes'
    )


def _wrong(found: list[results.Result]) -> list[str]:
    """What is not as it has to be, in words."""
    wrong = [
        f'{result.name}: {result.status}\n{result.said[-2000:]}'
        for result in found
        if result.status not in ('success', 'skip')
    ]
    wrong += [
        f'{result.name} was skipped for no known reason: {result.said}'
        for result in results.unexplained(found)
    ]
    return wrong if found else ['no test was run']


if __name__ == '__main__':
    sys.exit(main())
