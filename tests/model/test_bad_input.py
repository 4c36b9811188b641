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
"""Bad input to each command: one line, the exit status, nothing changed."""

from collections.abc import Callable, Iterator
import os
import pathlib

import pytest

from manila_glusterfs_clone.cmd import main
from tests.model import operator_host
from tests.model.test_share_manager import Cloud
from tests.model.test_share_manager import cloud  # noqa: F401
from tests.model.test_share_manager import share_type  # noqa: F401

Host = operator_host.OperatorHost
UNKNOWN = 3

#: The commands that read Manila's configuration.
COMMANDS: list[list[str]] = [
    ['check'],
    ['metrics'],
    ['reconcile'],
    ['reconcile', '--apply'],
    ['status'],
    ['status', 'bricks'],
    ['status', 'maintenance'],
    ['status', 'pools'],
    ['status', 'shares'],
]
WITH_DATABASE = [words for words in COMMANDS if words != ['check']]


@pytest.fixture
def host(
    cloud: Cloud,  # noqa: F811
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Host]:
    cloud.create()
    yield Host(cloud.pool, tmp_path, capsys)


def test_every_command_is_here() -> None:
    tried = {' '.join(w for w in words if w[0] != '-') for words in COMMANDS}
    assert tried | {'node-installer'} == set(main.COMMANDS)


def require_one_line(host: Host, outcome: operator_host.Outcome) -> str:
    """Check that a command refused in one line, and changed nothing."""
    assert outcome.status == UNKNOWN, outcome
    assert outcome.stdout == ''
    assert outcome.stderr.count('\n') == 1, outcome.stderr
    assert outcome.stderr.startswith('manila-glusterfs-clone')
    assert 'Traceback' not in outcome.stderr
    assert not [step for step in host.process.steps if not step.is_read]
    return outcome.stderr


def no_file(host: Host) -> list[str]:
    return [f'--config-file={host.directory / "nosuch.conf"}']


def a_directory(host: Host) -> list[str]:
    return [f'--config-file={host.directory}']


def half_a_file(host: Host) -> list[str]:
    host.write()
    text = host.file.read_text()
    host.file.write_text(text[: text.index('lock_path') + 5])
    return [f'--config-file={host.file}']


def no_text(host: Host) -> list[str]:
    host.file.write_bytes(b'\xff\xfe\x00' * 20)
    return [f'--config-file={host.file}']


def an_empty_file(host: Host) -> list[str]:
    host.file.write_text('')
    return [f'--config-file={host.file}']


def an_unknown_back_end(host: Host) -> list[str]:
    host.write()
    return [f'--config-file={host.file}', '--backend=nosuch']


def another_driver(host: Host) -> list[str]:
    host.section['share_driver'] = 'manila.share.drivers.lvm.LVMShareDriver'
    host.write()
    return [f'--config-file={host.file}']


def no_section(host: Host) -> list[str]:
    host.options['DEFAULT']['enabled_share_backends'] = 'gold'
    host.write()
    return [f'--config-file={host.file}']


FILES: dict[Callable[[Host], list[str]], str] = {
    no_file: 'name the configuration of manila-share with --config-file',
    a_directory: 'name the configuration of manila-share with --config-file',
    half_a_file: 'correct the file',
    no_text: 'name the configuration of manila-share with --config-file',
    an_empty_file: 'no back end in enabled_share_backends',
    an_unknown_back_end: 'choose from model',
    another_driver: 'add one',
    no_section: 'add one',
}


@pytest.mark.parametrize('words', COMMANDS, ids=' '.join)
@pytest.mark.parametrize('make', FILES, ids=lambda make: make.__name__)
def test_a_configuration_that_cannot_be_used(
    host: Host, words: list[str], make: Callable[[Host], list[str]]
) -> None:
    said = require_one_line(host, host.run_as_it_is(*words, *make(host)))
    assert FILES[make] in said


@pytest.mark.parametrize('words', COMMANDS, ids=' '.join)
def test_a_file_without_permission(
    host: Host, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host.write()
    read_text = pathlib.Path.read_text

    def refuse(path: pathlib.Path, *args: str, **how: str) -> str:
        if path == host.file:
            raise PermissionError(13, 'Permission denied', str(path))
        return read_text(path, *args, **how)

    # The user of the tests may be root, who may read all files.
    monkeypatch.setattr(pathlib.Path, 'read_text', refuse)
    said = require_one_line(host, host.run(*words))
    assert 'run the command as the user of manila-share' in said


@pytest.mark.parametrize('words', COMMANDS, ids=' '.join)
@pytest.mark.parametrize(
    'more', [['--nosuch'], ['more'], ['--backend'], ['--format=nosuch']]
)
def test_a_wrong_argument(
    host: Host, words: list[str], more: list[str]
) -> None:
    said = require_one_line(host, host.run(*words, *more))
    assert '--help' in said


@pytest.mark.parametrize('words', WITH_DATABASE, ids=' '.join)
def test_a_database_that_does_not_answer(
    host: Host, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError('could not connect to server')

    monkeypatch.setattr('manila.db.sqlalchemy.api.get_engine', fail)
    said = require_one_line(host, host.run(*words))
    assert 'check [database] connection' in said


@pytest.mark.parametrize('words', WITH_DATABASE, ids=' '.join)
def test_an_option_with_a_wrong_value(host: Host, words: list[str]) -> None:
    """``check`` reports it in its list, with all other mistakes."""
    host.section['glusterfs_clone_max_data_percent'] = 'many'
    said = require_one_line(host, host.run(*words))
    assert 'correct this: glusterfs_clone_max_data_percent' in said


def test_reconcile_when_no_node_answers(host: Host) -> None:
    host.pool.cut()
    host.pool.time.advance(300)
    for words in (['reconcile'], ['reconcile', '--apply']):
        said = require_one_line(host, host.run(*words))
        assert 'start the node' in said


@pytest.mark.parametrize('words', COMMANDS, ids=' '.join)
def test_a_node_that_is_down_does_not_stop_a_command(
    host: Host, words: list[str]
) -> None:
    host.pool.cut('gl2')
    host.pool.time.advance(300)
    begun = host.pool.time.now
    outcome = host.run(*words)
    assert outcome.status in (0, 1)
    assert outcome.stdout
    # Time-outs do not add up.
    assert host.pool.time.now - begun < 120


def test_reconcile_with_locks_of_another_user(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lock files of root would keep manila-share from locking."""
    monkeypatch.setattr(os, 'geteuid', lambda: 4711)
    locks = pathlib.Path(host.lock_path)
    before = set(locks.iterdir())
    said = require_one_line(host, host.run('reconcile', '--apply'))
    assert 'run the command as this user' in said
    assert set(locks.iterdir()) == before
    # To look needs no locks.
    assert host.run('reconcile').status == 0


@pytest.mark.parametrize(
    ('path', 'remedy'),
    [(None, 'start manila-share once'), ('', 'set the directory')],
)
def test_reconcile_without_locks(
    host: Host, path: str | None, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.options['oslo_concurrency']['lock_path'] = (
        str(host.directory / 'nosuch') if path is None else path
    )
    monkeypatch.delenv('OSLO_LOCK_PATH', raising=False)
    said = require_one_line(host, host.run('reconcile', '--apply'))
    assert remedy in said


@pytest.mark.parametrize('pause', ['-1', 'nan', 'soon', '1e9'])
def test_reconcile_with_a_pause_that_is_none(host: Host, pause: str) -> None:
    require_one_line(
        host, host.run('reconcile', '--apply', f'--pause={pause}')
    )


@pytest.mark.parametrize(
    ('name', 'remedy'),
    [
        ('manila.txt', '".prom"'),
        ('nosuch/manila.prom', 'name a file in the directory'),
    ],
)
def test_metrics_into_a_file_that_cannot_be_used(
    host: Host, name: str, remedy: str
) -> None:
    output = host.directory / name
    said = require_one_line(host, host.run('metrics', f'--output={output}'))
    assert remedy in said
    assert not output.exists()


def test_metrics_without_permission(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, 'access', lambda path, mode: mode != os.W_OK)
    output = host.directory / 'manila.prom'
    said = require_one_line(host, host.run('metrics', f'--output={output}'))
    assert 'permission denied' in said


def test_metrics_that_fail_keep_the_former_file(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = host.directory / 'manila.prom'
    output.write_text('former')

    def fail() -> None:
        raise OSError('could not connect to server')

    monkeypatch.setattr('manila.db.sqlalchemy.api.get_engine', fail)
    require_one_line(host, host.run('metrics', f'--output={output}'))
    assert output.read_text() == 'former'
