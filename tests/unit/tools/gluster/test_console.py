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
"""The gluster command line: consoles, processes, and errors."""

import pickle
import threading

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools.gluster import console
from tests.unit import fakes

DOWN = 'Connection failed. Please check if gluster daemon is operational.'
TIMED_OUT = 'Error : Request timed out'

#: What each refusal that was recorded is; a new recording must be put here.
REFUSALS: dict[str, type[errors.Error]] = {
    'snapshot-activate-again': errors.GlusterRefused,
    'snapshot-clone-exists': errors.AlreadyExists,
    'snapshot-clone-inactive': errors.GlusterRefused,
    'snapshot-clone-missing': errors.NotFound,
    'snapshot-create-exists': errors.AlreadyExists,
    'snapshot-deactivate-again': errors.GlusterRefused,
    'snapshot-delete-missing': errors.NotFound,
    'snapshot-restore-missing': errors.NotFound,
    'snapshot-restore-started': errors.GlusterRefused,
    'snapshot-info-missing': errors.NotFound,
    'volume-create-exists': errors.AlreadyExists,
    'volume-delete-missing': errors.NotFound,
    'volume-delete-snapshots': errors.GlusterRefused,
    'volume-delete-started': errors.GlusterRefused,
    'volume-info-missing': errors.NotFound,
    'volume-profile-start-again': errors.GlusterRefused,
    'volume-profile-stop-again': errors.GlusterRefused,
    'volume-set-clone': errors.CommitFailed,
    'volume-set-refused': errors.GlusterRefused,
    'volume-start-again': errors.GlusterRefused,
    'volume-status-clients-one': errors.CommitFailed,
    'volume-status-stopped': errors.GlusterRefused,
    'volume-stop-missing': errors.NotFound,
}
#: Recordings of what is not answered in XML.
IN_WORDS = frozenset(
    {
        'volume-unknown-command',
        'volume-heal',
        'volume-heal-brick-down',
        'volume-heal-missing',
        'volume-heal-stopped',
    }
)


def lost(partial: str = '') -> errors.LinkLost:
    return errors.LinkLost('gl1', fakes.CONSOLE, 'EOF', partial)


def gluster_recordings(release: str) -> list[str]:
    return [
        name
        for name in fakes.golden_names(release)
        if fakes.golden(release, name).argv[:3] == fakes.CONSOLE
        and name not in IN_WORDS
    ]


def test_recorded_answers_raise_the_right_errors(release: str) -> None:
    refused = {}
    for name in gluster_recordings(release):
        node = fakes.Node().replay(release, name)
        words = fakes.golden(release, name).argv[3:]
        try:
            answer = console.Console(node).run(*words)
        except (errors.GlusterRefused, errors.CommitFailed) as error:
            refused[name] = type(error)
            assert error.message
            assert error.argv == ('gluster', *words)
            assert error.node == 'gl1'
        else:
            assert answer.has_succeeded
    assert refused == {
        name: REFUSALS[name]
        for name in gluster_recordings(release)
        if name in REFUSALS
    }


def test_a_barrier_of_another_snapshot_is_unknown() -> None:
    said = fakes.xml(ret=-1, message='Failed to reconfigure barrier.')
    node = fakes.Node().gluster('snapshot create', said)
    with pytest.raises(errors.CommitFailed) as caught:
        console.Console(node).run('snapshot', 'create')
    assert caught.value.message == 'Failed to reconfigure barrier.'


@pytest.mark.parametrize(
    'phase', ['Commit', 'Brick ops', 'Post Validation', 'Staging']
)
def test_a_partially_done_command_is_unknown(phase: str) -> None:
    message = f'{phase} failed on gl2. Please check log file for details.'
    node = fakes.Node().gluster('volume x', fakes.xml(ret=-1, message=message))
    with pytest.raises(errors.CommitFailed) as caught:
        console.Console(node).run('volume', 'x')
    assert caught.value.message == message


def test_staging_that_fails_with_a_reason_is_refused() -> None:
    message = 'Staging failed on gl2. Error: Volume x does not exist'
    node = fakes.Node().gluster('volume x', fakes.xml(ret=-1, message=message))
    with pytest.raises(errors.GlusterRefused):
        console.Console(node).run('volume', 'x')


def test_the_cli_timed_out() -> None:
    node = fakes.Node().gluster('volume stop x', lost(f'{TIMED_OUT}\n'))
    with pytest.raises(errors.TimedOut) as caught:
        console.Console(node).run('volume', 'stop', 'x')
    assert errors.is_unknown(caught.value)
    assert caught.value.argv == ('gluster', 'volume', 'stop', 'x')


def test_glusterd_is_down() -> None:
    node = fakes.Node().gluster('pool list', lost(f'{DOWN}\n'))
    with pytest.raises(console.GlusterdNotRunning) as caught:
        console.Console(node).run('pool', 'list')
    assert caught.value.node == 'gl1'
    assert isinstance(caught.value, errors.Unreachable)
    assert str(caught.value) == (
        'glusterd on node gl1: not running; run "systemctl start glusterd" '
        'there'
    )
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_the_connection_is_lost() -> None:
    node = fakes.Node().gluster('volume stop x', lost('<?xml half'))
    with pytest.raises(errors.LinkLost) as caught:
        console.Console(node).run('volume', 'stop', 'x')
    assert caught.value.partial_output == '<?xml half'


@pytest.mark.parametrize(
    'text',
    [
        'gluster> </cliOutput>',
        # The end of one answer, and then another.
        '</cliOutput>',
        fakes.xml().replace('</cliOutput>', '') + fakes.xml(),
        '<?xml version="1.0"?><cliOutput><opRet>0</cliOutput>',
        '<?xml version="1.0"?><cliOutput></cliOutput>',
        '<?xml version="1.0"?><cliOutput><opRet>x</opRet></cliOutput>',
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e "e">]>'
        '<cliOutput><opRet>0</opRet><opErrstr>&e;</opErrstr></cliOutput>',
    ],
)
def test_an_unreadable_answer_is_unknown(text: str) -> None:
    node = fakes.Node().gluster('pool list', text)
    with pytest.raises(errors.Garbled) as caught:
        console.Console(node).run('pool', 'list')
    assert errors.is_unknown(caught.value)


@pytest.mark.parametrize(
    ('said', 'kind'),
    [
        # Down before, or since it was told; who knows.
        (fakes.Answer('', f'{DOWN}\n', 1), errors.LinkLost),
        (fakes.Answer(f'{DOWN}\n', '', 1), errors.LinkLost),
        (fakes.Answer(f'{TIMED_OUT}\n', '', 1), errors.TimedOut),
        (fakes.Answer('', '', 0), errors.Garbled),
        (fakes.Answer('', 'Usage: …', 1), errors.Garbled),
        (
            fakes.Answer(fakes.xml(ret=-1, errno=30802), '', 1),
            errors.Busy,
        ),
        (lost(), errors.LinkLost),
    ],
)
def test_errors_of_a_process_of_its_own(
    said: fakes.Reply, kind: type[errors.Error]
) -> None:
    words = ('volume', 'set', 'x' * 1000)
    node = fakes.Node().gluster(' '.join(words), said)
    with pytest.raises(kind):
        console.Console(node).run(*words)


@pytest.mark.parametrize(
    'word',
    [
        '',
        ' ',
        'a b',
        'a\nvolume stop x',
        'a\r',
        'a\t',
        'a\0',
        'a\x0b',
        'a\u2028b',
        'a\u00a0b',
    ],
)
def test_a_word_with_white_space_is_not_sent(word: str) -> None:
    node = fakes.Node()
    with pytest.raises(ValueError):
        console.Console(node).run('volume', 'info', word)
    assert not node.asked


#: The number of consoles, for writes and for reads.
PLACES = pytest.mark.parametrize(('read', 'places'), [(False, 3), (True, 2)])


@PLACES
def test_more_threads_than_consoles(read: bool, places: int) -> None:
    node = fakes.Node()
    for n in range(24):
        node.gluster(f'volume info v{n}', fakes.xml(f'<v{n}/>'))
    gluster = console.Console(node)
    busy: list[str] = []
    most = 0
    guard = threading.Lock()
    together = threading.Barrier(places)

    def during(said: str) -> None:
        nonlocal most
        with guard:
            busy.append(said)
            most = max(most, len(busy))
        together.wait(5)
        with guard:
            busy.remove(said)

    node.during = during
    wrong = []

    def ask(n: int) -> None:
        answer = gluster.run('volume', 'info', f'v{n}', is_read=read)
        if answer.root.find(f'v{n}') is None:
            wrong.append(n)

    with fakes.threads([lambda n=n: ask(n) for n in range(24)]):  # type: ignore[misc]
        pass
    assert not wrong
    assert most == places
    assert len(node.said()) == 24


@PLACES
def test_no_console_is_free_in_time(read: bool, places: int) -> None:
    node = fakes.Node().gluster('pool list', fakes.xml())
    gluster = console.Console(node)
    full = threading.Semaphore(0)
    go_on = threading.Event()

    def during(said: str) -> None:
        full.release()
        go_on.wait(5)

    node.during = during
    with fakes.threads(
        [lambda: gluster.run('pool', 'list', is_read=read)] * places
    ):
        for _ in range(places):
            assert full.acquire(timeout=5)
        with pytest.raises(errors.Occupied) as caught:
            gluster.run('pool', 'list', timeout=0.01, is_read=read)
        assert caught.value.argv == ('gluster', 'pool', 'list')
        # The others are free all the same.
        node.during = lambda said: None
        gluster.run('pool', 'list', timeout=0.01, is_read=not read)
        go_on.set()
    gluster.run('pool', 'list', is_read=read)


def test_an_error_releases_the_slot() -> None:
    node = fakes.Node().gluster('pool list', *[lost()] * 9, fakes.xml())
    gluster = console.Console(node)
    for _ in range(9):
        with pytest.raises(errors.LinkLost):
            gluster.run('pool', 'list', timeout=0.01)
    assert gluster.run('pool', 'list', timeout=0.01).has_succeeded
