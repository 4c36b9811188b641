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
"""Options of the tests on the command line."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        '--release',
        default='10.3',
        choices=['10.3', '11.1'],
        help='the release of GlusterFS to test on',
    )
    parser.addoption(
        '--lab',
        metavar='NAME',
        help='use the running lab of that name instead of a new one',
    )
    parser.addoption(
        '--manila',
        metavar='VERSION',
        help='the release of Manila to test with (tests/cloud)',
    )
    parser.addoption(
        '--restarts',
        type=int,
        default=5,
        metavar='COUNT',
        help='how often manila-share is restarted while clients write '
        '(tests/cloud)',
    )
    parser.addoption(
        '--fault-nodes',
        type=int,
        default=3,
        metavar='COUNT',
        help='how many nodes the cluster has on which faults are tried '
        '(tests/functional)',
    )
    parser.addoption(
        '--fault-layout',
        default='replica-3',
        choices=['replica-3', 'single'],
        help='the layout of the shares that faults are tried on '
        '(tests/functional)',
    )
    parser.addoption(
        '--fault-table',
        metavar='FILE',
        help='append the outcome of each fault at each step to this file',
    )
    parser.addoption(
        '--random-seeds',
        action='store_true',
        help='random operations with seeds that no run had before; those that '
        'fail are kept and tried again (tests/model)',
    )
    parser.addoption(
        '--every-test',
        action='store_true',
        help='also the tests of the other release (tests/functional), and '
        'those that take long (tests/cloud)',
    )
    parser.addoption(
        '--every-fault',
        action='store_true',
        help='the whole table of faults, not a sample (tests/functional)',
    )
    parser.addoption(
        '--fault-operation',
        metavar='NAME',
        help='try the faults of this operation only (tests/functional)',
    )
