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
"""The probe of all programs, run by a real shell."""

import os
import pathlib
import subprocess

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.preflight import programs_and_sudo
from tests.unit import fakes

#: As sudo does it, for who may run everything but ``lvremove``.
SUDO = """#!/bin/sh
echo "sudo: unable to resolve host gl1: Name or service not known" >&2
[ "$1" = -n ] && shift
case "$*" in
    *lvremove*) echo 'sudo: a password is required' >&2; exit 1 ;;
esac
exec "$@"
"""
SAYS = {
    'gluster': 'echo glusterfs 11.1; echo Repository revision: x',
    'systemctl': 'echo disabled; exit 1',
    'setfattr': 'echo "setfattr: $3: No such file or directory" >&2; exit 1',
    'mkfs.xfs': 'kill -9 $$',
}


@pytest.fixture
def home(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a directory with all programs but ``xfs_growfs``."""
    for program in programs_and_sudo.PROGRAMS:
        if program.name != 'xfs_growfs':
            path = tmp_path / program.name
            says = SAYS.get(program.name, 'echo "$0" 1.0')
            path.write_text(f'#!/bin/sh\n{says}\n')
            path.chmod(0o755)
    (tmp_path / 'sudo').write_text(SUDO)
    (tmp_path / 'sudo').chmod(0o755)
    for name in ('timeout', 'sh', 'tr', 'cut'):
        (tmp_path / name).symlink_to(f'/usr/bin/{name}')
    return tmp_path


def run(home: pathlib.Path, *, sudo: bool) -> fakes.Answer:
    script = programs_and_sudo.script(sudo=sudo)
    assert '\n' not in script.strip('\n').replace('\\n', '')
    done = subprocess.run(
        ['/bin/sh', '-c', script],
        env={**os.environ, 'PATH': str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    return fakes.Answer(done.stdout, done.stderr, done.returncode)


def ask(home: pathlib.Path, *, sudo: bool) -> programs_and_sudo.Probe:
    node = fakes.Node()
    node.answer(
        ('sh', '-c', programs_and_sudo.script(sudo=sudo)), run(home, sudo=sudo)
    )
    return programs_and_sudo.probe(node, sudo=sudo)


@pytest.mark.parametrize('sudo', [True, False])
def test_the_result_for_each_program(home: pathlib.Path, sudo: bool) -> None:
    found = ask(home, sudo=sudo)
    assert found.missing_programs == ('xfs_growfs',)
    assert [*found.sudo_refusals] == (['lvremove'] if sudo else [])
    assert [*found.failures] == ['mkfs.xfs']
    assert found.release == (11, 1)
    assert found.boot_unit == 'disabled'
    assert {p.name for p in programs_and_sudo.PROGRAMS} == (
        found.working_programs
        | {*found.missing_programs}
        | found.sudo_refusals.keys()
        | found.failures.keys()
    )


def test_the_probe_is_one_command() -> None:
    node = fakes.Node()
    node.answer(
        ('sh', '-c', programs_and_sudo.script(sudo=True)), fakes.Answer('')
    )
    with pytest.raises(errors.Garbled) as caught:
        programs_and_sudo.probe(node, sudo=True)
    assert len(node.asked) == 1
    assert programs_and_sudo.script(sudo=True) not in str(caught.value)


def test_packages_are_named_once() -> None:
    assert programs_and_sudo.packages_of(
        ['lvs', 'lvcreate', 'getfattr', 'x']
    ) == (
        'lvm2',
        'attr',
    )
