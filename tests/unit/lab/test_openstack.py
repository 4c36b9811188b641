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
"""The client that is loaded once: each command is independent."""

from collections.abc import Iterator
from concurrent import futures
import os
import pathlib
import sys
import time

import pytest

from tests.lab import LabError
from tests.lab.manila import environment
from tests.lab.manila import openstack
from tests.lab.manila import users

#: Stands for the client: says what it is given, and what it remembers.
_SHELL = """\
import os, sys, time

seen = []

def main():
    seen.append(sys.argv[1:])
    print('was asked', *seen)
    print('for', os.environ.get('OS_USERNAME'), file=sys.stderr)
    print(repr(sys.stdin.read()), file=sys.stderr)
    if 'fail' in sys.argv:
        return 2
    if 'exit' in sys.argv:
        sys.exit('it is refused')
    if 'raise' in sys.argv:
        raise ValueError('it is broken')
    if 'die' in sys.argv:
        os._exit(9)
    if 'sleep' in sys.argv:
        open(sys.argv[-1], 'w').write(str(os.getpid()))
        time.sleep(60)
    return 0
"""

_LOADED = "['share', 'create', '--help']"


class Here:
    """A network that is this one."""

    def inside(self, *argv: str) -> list[str]:
        return [*argv]


@pytest.fixture
def client(tmp_path: pathlib.Path) -> Iterator[openstack.Client]:
    package = tmp_path / 'openstackclient'
    package.mkdir()
    (package / '__init__.py').touch()
    (package / 'shell.py').write_text(_SHELL)
    (tmp_path / 'bin').mkdir()
    python = tmp_path / 'bin' / 'python'
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    made = openstack.Client(
        environment.Environment(tmp_path),
        Here(),  # type: ignore[arg-type]
        tmp_path / 'home',
    )
    yield made
    made.close()


def test_command_begins_where_the_program_does(
    client: openstack.Client,
) -> None:
    for user in ('a', 'b'):
        assert client.run((user,), {'OS_USERNAME': user}, 30) == (
            0,
            f"was asked {_LOADED} ['{user}']\n",
            f"for {user}\n''\n",
        )


@pytest.mark.parametrize(
    ('word', 'status', 'said'),
    [
        ('fail', 2, ''),
        ('exit', 1, 'it is refused'),
        ('raise', 1, 'ValueError: it is broken'),
    ],
)
def test_failure(
    client: openstack.Client, word: str, status: int, said: str
) -> None:
    found, out, err = client.run((word,), {}, 30)
    assert found == status
    assert word in out
    assert said in err


def test_user_is_told_of_by_name(client: openstack.Client) -> None:
    demo = openstack.OpenStack(users.DEMO, client)
    assert f'for {users.DEMO.name}' in demo.fail('fail')
    assert 'was asked' in demo.run('share', 'list')


def test_command_that_has_no_end_is_killed(
    client: openstack.Client, tmp_path: pathlib.Path
) -> None:
    note = tmp_path / 'pid'
    client.run((), {}, 30)
    with pytest.raises(TimeoutError):
        client.run(('sleep', str(note)), {}, 2)
    process = pathlib.Path(f'/proc/{note.read_text()}')
    for _ in range(100):
        if not process.exists():
            break
        time.sleep(0.1)
    assert not process.exists()
    assert client.run((), {}, 30)[0] == 0


def test_many_at_once(client: openstack.Client) -> None:
    names = [f'u{number}' for number in range(20)]
    with futures.ThreadPoolExecutor(20) as threads:
        said = threads.map(
            lambda name: client.run((name,), {'OS_USERNAME': name}, 30), names
        )
        assert [err.split()[1] for _, _, err in said] == names


def test_crash_is_none_of_its_answers(client: openstack.Client) -> None:
    with pytest.raises(LabError, match='crashed'):
        client.run(('die',), {}, 30)


def test_it_ends_when_it_is_closed(client: openstack.Client) -> None:
    client.run((), {}, 30)
    process = client._process
    assert process
    os.kill(process.pid, 0)
    client.close()
    assert process.returncode == 0
    # It is loaded again when it is needed.
    assert client.run((), {}, 30)[0] == 0
