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
"""``python3 -m tests.benchmarks``: run benchmarks, or document results."""

import argparse
from collections.abc import Sequence
import contextlib
import datetime
import os
import pathlib
import platform
import sys
import tempfile

from manila_glusterfs_clone.manila_api import stats
from tests.benchmarks import cases
from tests.benchmarks import document
from tests.benchmarks import results
from tests.functional import manila_stand_in
from tests import lab as lab_module

OUTPUT = pathlib.Path(__file__).parents[2] / '.benchmarks'


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser('python3 -m tests.benchmarks')
    verbs = parser.add_subparsers(dest='verb', required=True)
    run = verbs.add_parser('run', help='run benchmarks on a lab')
    run.add_argument('--case', action='append', choices=cases.CASES)
    run.add_argument('--release', default='11.1', help='of GlusterFS')
    run.add_argument('--lab', help='a lab that is up')
    run.add_argument('--rounds', type=int, default=7)
    run.add_argument('--output', type=pathlib.Path, default=OUTPUT)
    draw = verbs.add_parser('document', help='write the page of the docs')
    draw.add_argument('results', type=pathlib.Path, nargs='+')
    chosen = parser.parse_args(arguments)
    if chosen.verb == 'document':
        document.write([results.Result.load(path) for path in chosen.results])
        return 0
    with contextlib.ExitStack() as stack:
        lab = _lab(stack, chosen.release, chosen.lab)
        directory = pathlib.Path(
            stack.enter_context(tempfile.TemporaryDirectory())
        )
        conf = manila_stand_in.write_configuration(lab, directory)
        opened = manila_stand_in.open_driver(conf, manila_stand_in.IP)
        stack.callback(opened._services.close)
        opened.check_for_setup_error()
        manila = manila_stand_in.ManilaStandIn(opened, manila_stand_in.IP)
        setting = cases.Setting(lab, manila)
        for name in chosen.case or cases.CASES:
            result = _measure(setting, name, chosen.rounds)
            print(result, flush=True)
            print(result.save(chosen.output), flush=True)
    return 0


def _lab(
    stack: contextlib.ExitStack, release: str, name: str | None
) -> lab_module.Lab:
    lab = (
        lab_module.Lab.attach(name)
        if name
        else stack.enter_context(
            lab_module.Lab(release, nodes=3, clients=1, say=print)
        )
    )
    lab.enter()
    return lab


def _measure(
    setting: cases.Setting, name: str, round_count: int
) -> results.Result:
    """Run the variants of a case in turn, in an order that rotates."""
    rounds: list[dict[str, float]] = []
    with cases.CASES[name](setting) as case:
        variants = list(case.variants.values())
        for number in range(round_count):
            figures: dict[str, float] = {}
            first = number % len(variants)
            for variant in variants[first:] + variants[:first]:
                figures |= variant()
            rounds.append(figures)
    machine = {
        'date': datetime.datetime.now(datetime.timezone.utc)
        .date()
        .isoformat(),
        'GlusterFS': setting.lab.release,
        'driver': stats.VERSION,
        'Python': platform.python_version(),
        'CPUs': str(len(os.sched_getaffinity(0))),
    }
    return results.Result(
        name, setting.lab.release, machine, rounds, case.ratios
    )


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
