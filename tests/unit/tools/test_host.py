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
"""Addresses, names, programs and units of a node."""

import dataclasses

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.node.runner import verbs
from manila_glusterfs_clone.tools import host
from tests.unit import fakes

ENABLED = fakes.Answer('enabled\n')
UNIT = ('systemctl', 'is-enabled', verbs.BOOT_UNIT)
VERSION = ('gluster', '--version')


def node(
    unit: fakes.Answer = ENABLED,
    missing: tuple[str, ...] = (),
) -> fakes.Node:
    fake = fakes.Node()
    fake.greeting = dataclasses.replace(
        fakes.GREETING, missing_programs=missing
    )
    if 'systemctl' not in missing:
        fake.answer(UNIT, unit)
    if 'gluster' not in missing:
        fake.answer(VERSION, fakes.Answer('glusterfs 11.1\nRepository: …'))
    return fake


def test_addresses() -> None:
    fake = fakes.Node().answer(('addresses',), fakes.Answer('["10.0.0.1"]'))
    assert host.Host(fake).addresses() == {'10.0.0.1'}
    fake = fakes.Node().answer(('resolve', 'gl4'), fakes.Answer('[]'))
    assert host.Host(fake).resolve('gl4') == frozenset()


@pytest.mark.parametrize('text', ['', '[', '{}', '[1]', '"x"'])
def test_unreadable_addresses_are_unknown(text: str) -> None:
    fake = fakes.Node().answer(('addresses',), fakes.Answer(text))
    with pytest.raises(errors.Garbled):
        host.Host(fake).addresses()


@pytest.mark.parametrize(('text', 'age'), [('12.5', 12.5), ('null', None)])
def test_the_age_of_glusterd(text: str, age: float | None) -> None:
    fake = fakes.Node().answer(fakes.AGE, fakes.Answer(text))
    assert host.Host(fake).glusterd_age() == age


def test_report() -> None:
    assert host.Host(node()).report() == host.Report(
        fakes.GREETING, (11, 1), 'enabled'
    )


@pytest.mark.parametrize(
    ('missing', 'release', 'boot_unit'),
    [
        (('gluster', 'lvs'), None, 'enabled'),
        (('systemctl',), (11, 1), ''),
        (('gluster', 'systemctl'), None, ''),
    ],
)
def test_missing_programs(
    missing: tuple[str, ...], release: tuple[int, int] | None, boot_unit: str
) -> None:
    report = host.Host(node(missing=missing)).report()
    assert report.missing_programs == missing
    assert report.release == release
    assert report.boot_unit == boot_unit


@pytest.mark.parametrize(
    ('answer', 'state'),
    [
        (fakes.Answer('disabled\n', '', 1), 'disabled'),
        (fakes.Answer('masked\n', 'warning', 1), 'masked'),
        (fakes.Answer('', 'No such file or directory', 1), 'not-found'),
        (fakes.Answer('not-found\n', '', 4), 'not-found'),
        (fakes.Answer('', 'Failed to connect to bus', 1), ''),
        (fakes.Answer('x disabled y\n', '', 1), ''),
    ],
)
def test_boot_unit(answer: fakes.Answer, state: str) -> None:
    assert host.Host(node(answer)).report().boot_unit == state


def test_a_runner_without_settings_is_asked_nothing_else() -> None:
    fake = fakes.Node()
    fake.greeting = dataclasses.replace(fakes.GREETING, problem='no file')
    assert host.Host(fake).report().greeting.problem == 'no file'
    assert not fake.asked
