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
"""The files of the control plane, and the owners of its processes."""

from collections.abc import Iterator
import configparser
import datetime
import os
from pathlib import Path
import subprocess
import sys

import pytest

from tests.lab.errors import LabError
from tests.lab import host
from tests.lab.manila import backends
from tests.lab.manila import environment
from tests.lab.manila import health
from tests.lab.manila import ini
from tests.lab.manila import openstack
from tests.lab.manila import settings
from tests.lab.manila import users

SECTIONS = backends.sections(
    *(['10.0.0.1', '10.0.0.2'], ['gl1', 'gl2']),
    *(Path('/lab/key'), Path('/lab/known_hosts')),
)


def _record(**more: object) -> settings.Record:
    return settings.Record(
        **{'version': '1', 'keystone': '/k', 'manila': '/m', **more}  # type: ignore[arg-type]
    )


def _conf(record: settings.Record) -> configparser.ConfigParser:
    made = settings.manila(
        *(record, environment.Environment(Path('/m')), Path('/lab/manila')),
        *('mysql://', SECTIONS),
    )
    parser = configparser.ConfigParser(
        interpolation=None, default_section='none'
    )
    parser.read_string(ini.text(made))
    return parser


def test_the_text_of_a_file() -> None:
    text = ini.text({'a': {'b': 1, 'c': 'd=$e'}, 'f': {}})
    assert text == '[a]\nb = 1\nc = d=$$e\n\n[f]\n'


def test_a_back_end_for_each_kind_of_rule() -> None:
    assert tuple(SECTIONS) == backends.BACKENDS
    ip, cert = SECTIONS.values()
    assert 'glusterfs_clone_tls' not in ip
    assert cert['glusterfs_clone_tls'] is True
    assert cert['glusterfs_clone_tls_server_names'] == 'gl1,gl2'
    assert ip['glusterfs_clone_nodes'] == '10.0.0.1,10.0.0.2'


def test_settings() -> None:
    conf = _conf(_record())
    assert conf['DEFAULT']['enabled_share_backends'] == 'ip,cert'
    assert conf['ip']['share_backend_name'] == 'ip'
    assert conf['oslo_concurrency']['lock_path'] == '/lab/manila/locks'


def test_each_manila_share_is_a_host_of_its_own() -> None:
    one, two = (
        settings.of_share(name, Path('/lab/manila'), ('ip',))
        for name in ('one', 'two')
    )
    for section, option in (
        ('DEFAULT', 'state_path'),
        ('oslo_concurrency', 'lock_path'),
    ):
        assert one[section][option] != two[section][option]
    assert one['DEFAULT']['enabled_share_backends'] == 'ip'


def test_what_is_changed_holds() -> None:
    conf = _conf(
        _record(changes={'ip': {'x': '1'}, 'DEFAULT': {'debug': 'True'}})
    )
    assert conf['ip']['x'] == '1'
    assert conf['ip']['share_backend_name'] == 'ip'
    assert conf['DEFAULT']['debug'] == 'True'


def test_a_record_is_what_it_was(tmp_path: Path) -> None:
    record = _record(
        shares={'one': ('ip',), 'two': ('cert',)}, changes={'ip': {'x': '1'}}
    )
    record.save(tmp_path / 'r')
    assert settings.Record.load(tmp_path / 'r') == record


@pytest.mark.parametrize('text', ['', '{}', '{"shares": 3}'])
def test_a_record_that_is_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(LabError, match='no control plane'):
        settings.Record.load(tmp_path / 'r')
    (tmp_path / 'r').write_text(text)
    with pytest.raises(LabError, match='cannot be understood'):
        settings.Record.load(tmp_path / 'r')


BORN = datetime.datetime(
    *(2026, 1, 2, 3, 4, 5), tzinfo=datetime.timezone.utc
).timestamp()


@pytest.mark.parametrize(
    ('state', 'stamp', 'missing'),
    [
        ('up', '2026-01-02T03:04:06.000000', ''),
        ('up', '2026-01-02T03:04:06', ''),
        # Of the life before.
        ('up', '2026-01-02T03:04:04.999999', 'no sign of life'),
        ('up', None, 'no sign of life'),
        ('down', '2026-01-02T03:04:06', 'is down'),
    ],
)
def test_heartbeat(state: str, stamp: str | None, missing: str) -> None:
    service = {
        'binary': 'manila-share',
        'host': 'lab@ip',
        'state': state,
        'updated_at': stamp,
    }
    found = health.beats([service], 'manila-share', 'lab@ip', BORN)
    assert missing in found
    assert bool(found) == bool(missing)
    assert 'not known' in health.beats(
        [service], 'manila-share', 'lab@cert', BORN
    )


def test_openrc_is_for_a_shell() -> None:
    text = openstack.openrc(Path('/a b/bin'), {'OS_PASSWORD': "it's $HOME"})
    done = subprocess.run(
        ['bash', '-c', f'{text}\necho "$PATH"; echo "$OS_PASSWORD"'],
        capture_output=True,
        text=True,
        check=True,
    )
    path, password = done.stdout.splitlines()
    assert path.startswith('/a b/bin:')
    assert password == "it's $HOME"


def test_each_user_has_a_name_and_secrets_of_his_own() -> None:
    everyone = (*users.PEOPLE, users.SERVICE)
    assert len({user.password for user in everyone}) == len(everyone)
    assert users.DEMO.project != users.OTHER.project


def test_a_release_that_is_not_known() -> None:
    with pytest.raises(LabError, match='no Manila'):
        environment.of_manila('0.1', print)


@pytest.mark.parametrize('version', environment.VERSIONS)
def test_every_release_is_pinned(version: str) -> None:
    text = (environment.CONSTRAINTS / f'manila-{version}.txt').read_text()
    assert f'manila=={version}\n' in text


@pytest.fixture
def marked() -> Iterator[subprocess.Popen[bytes]]:
    """A process that bears a mark, with a child that has another session."""
    child = 'import time; print(1, flush=True); time.sleep(60)'
    program = (
        'import subprocess, sys\n'
        f'subprocess.run([sys.executable, "-c", {child!r}],\n'
        '               start_new_session=True)'
    )
    process = subprocess.Popen(
        [sys.executable, '-S', '-c', program],
        stdout=subprocess.PIPE,
        env={**os.environ, host.MARK: f'/unit/{os.getpid()}/service'},
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    host.kill_all_marked(f'/unit/{os.getpid()}')
    process.wait()
    process.stdout.close()


def test_processes_are_found_by_their_mark(
    marked: subprocess.Popen[bytes],
) -> None:
    mark = f'/unit/{os.getpid()}'
    found = host.processes_marked(f'{mark}/service')
    assert len(found) == 2
    assert found[marked.pid] == os.getpid()
    assert marked.pid in found.values()
    assert host.processes_marked(mark) == found
    # Neither a lab nor a service is another whose name is longer.
    assert not host.processes_marked(f'{mark}/serv')
    assert not host.processes_marked(mark[:-1])
    host.kill_all_marked(mark)
    marked.wait()
    assert not host.processes_marked(mark)
