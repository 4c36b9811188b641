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
"""What tests are told on the command line."""

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
        help='use the lab of that name, which is up, instead of a new one',
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
        help='how often manila-share is restarted under clients that write '
        '(tests/cloud)',
    )
    parser.addoption(
        '--fault-table',
        metavar='FILE',
        help='append to this file what came of each fault at each step',
    )
    parser.addoption(
        '--every-test',
        action='store_true',
        help='also what is left to the other release (tests/functional), '
        'and what takes long (tests/cloud)',
    )
    parser.addoption(
        '--every-fault',
        action='store_true',
        help='the whole table of faults, not a sample (tests/functional)',
    )
    parser.addoption(
        '--fault-operation',
        metavar='NAME',
        help='have this operation go wrong only (tests/functional)',
    )
