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
from manila_glusterfs_clone.ssh import commands
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


def test_one_console_runs_successive_commands() -> None:
    node = fakes.Node().gluster('pool list', fakes.xml())
    gluster = console.Console(node)
    for _ in range(5):
        gluster.run('pool', 'list')
    assert len(node.opened) == 1
    assert not node.ran


def test_a_console_that_died_idle_is_replaced() -> None:
    node = fakes.Node().gluster('pool list', fakes.xml())
    gluster = console.Console(node)
    gluster.run('pool', 'list')
    node.opened[0].dead = True
    gluster.run('pool', 'list')
    assert [c.ended for c in node.opened] == [True, False]
    assert len(node.said()) == 2


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
    assert caught.value.argv == (*fakes.CONSOLE, 'volume', 'stop', 'x')
    assert node.opened[0].ended


def test_a_console_that_did_not_answer_is_not_used_again() -> None:
    late = errors.TimedOut('gl1', fakes.CONSOLE, 1)
    node = fakes.Node().gluster('pool list', late, fakes.xml())
    gluster = console.Console(node)
    with pytest.raises(errors.TimedOut):
        gluster.run('pool', 'list')
    gluster.run('pool', 'list')
    assert len(node.opened) == 2
    assert node.opened[0].ended
    assert len(node.opened[0].lines) == 1


@pytest.mark.parametrize('oddity', [KeyboardInterrupt(), RuntimeError()])
def test_a_console_of_an_interrupted_caller_is_not_used_again(
    oddity: BaseException,
) -> None:
    node = fakes.Node().gluster('pool list', fakes.xml())
    gluster = console.Console(node)

    def tear(said: str) -> None:
        raise oddity

    node.during = tear
    with pytest.raises(type(oddity)):
        gluster.run('pool', 'list')
    assert node.opened[0].ended
    node.during = lambda said: None
    gluster.run('pool', 'list')
    assert len(node.opened) == 2


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
    'text',
    [
        'warning: something\n' + fakes.xml(),
        fakes.xml().replace('</cliOutput>', '') + fakes.xml(),
        fakes.xml() + fakes.xml(),
        '<?xml version="1.0"?><cliOutput><opRet>0</o</cliOutput>',
    ],
    ids=['not at its beginning', 'two in one', 'two', 'cut off'],
)
def test_a_console_out_of_step_is_not_used_again(text: str) -> None:
    node = fakes.Node().gluster('pool list', text)
    node.gluster('volume list', fakes.xml('<mine/>'))
    gluster = console.Console(node)
    try:
        gluster.run('pool', 'list')
    except errors.Garbled:
        pass
    answer = gluster.run('volume', 'list')
    assert answer.root.find('mine') is not None
    assert node.opened[0].ended
    assert len(node.opened) == 2


@pytest.mark.parametrize(('size', 'alone'), [(1000, False), (1001, True)])
def test_a_long_line_gets_its_own_process(size: int, alone: bool) -> None:
    words = ('volume', 'set', 'x' * (size - len('volume set ')))
    assert len(' '.join(words)) == size
    node = fakes.Node().gluster(' '.join(words), fakes.xml())
    assert console.Console(node).run(*words).has_succeeded
    assert bool(node.opened) != alone
    assert node.ran == ([(*fakes.ALONE, *words)] if alone else [])


def test_the_length_of_a_line_is_counted_in_bytes() -> None:
    words = ('volume', 'é' * 500)
    node = fakes.Node().gluster(' '.join(words), fakes.xml())
    console.Console(node).run(*words)
    assert node.ran


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
            fakes.Answer('', 'sudo: a password is required', 127),
            errors.CommandFailed,
        ),
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


def test_a_short_command_can_get_its_own_process() -> None:
    node = fakes.Node().gluster('volume heal x info', fakes.xml())
    console.Console(node).run(
        'volume', 'heal', 'x', 'info', needs_own_process=True
    )
    assert node.ran == [(*fakes.ALONE, 'volume', 'heal', 'x', 'info')]
    assert not node.opened


def test_an_unknown_command(release: str) -> None:
    """A console never completes an answer; a process of its own does."""
    said = fakes.golden(release, 'volume-unknown-command').answer
    node = fakes.Node().gluster('volume nosuch', said)
    with pytest.raises(errors.TimedOut):
        console.Console(node).run('volume', 'nosuch')
    assert node.opened[0].ended


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
    assert not node.opened


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
    assert len(node.opened) <= places


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


def test_the_time_limit_is_counted_once() -> None:
    """It includes the wait for a console, also after a lost connection."""
    node = fakes.Node().gluster('pool list', fakes.xml())
    gluster = console.Console(node)
    go_on, limits = threading.Event(), []
    full = threading.Semaphore(0)

    def during(said: str) -> None:
        full.release()
        go_on.wait(5)

    node.during = during
    with fakes.threads(
        [lambda: gluster.run('pool', 'list', is_read=True)] * 2
    ):
        for _ in range(2):
            assert full.acquire(timeout=5)
        threading.Timer(0.6, go_on.set).start()
        real = fakes.InteractiveProcess.ask

        def ask(
            self: fakes.InteractiveProcess,
            text: str,
            *,
            terminator: bytes,
            timeout: float,
        ) -> bytes:
            limits.append(timeout)
            return real(self, text, terminator=terminator, timeout=timeout)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fakes.InteractiveProcess, 'ask', ask)
            gluster.run('pool', 'list', timeout=2.0, is_read=True)
    assert len(limits) == 1
    assert 0 < limits[0] <= 1.5


def test_a_process_of_its_own_takes_a_slot() -> None:
    """LVM and mounts share the sessions of the connection."""
    node = fakes.Node().gluster('volume status', fakes.xml())
    node.gluster('volume heal x info', fakes.xml())
    gluster = console.Console(node)
    together = threading.Barrier(3)
    most, now = 0, 0
    guard = threading.Lock()

    def run(argv: object, **limits: object) -> commands.Result:
        nonlocal most, now
        with guard:
            now += 1
            most = max(most, now)
        together.wait(5)
        with guard:
            now -= 1
        return commands.Result('gl1', (), 0, fakes.xml(), '')

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node, 'run', run)
        words = ('volume', 'heal', 'x', 'info')
        with fakes.threads(
            [lambda: gluster.run(*words, needs_own_process=True)] * 9
        ):
            pass
    assert most == 3


def test_a_process_ends_a_spare_idle_console() -> None:
    node = fakes.Node().gluster('volume status', fakes.xml())
    node.gluster('pool list', fakes.xml())
    node.gluster('volume heal x info', fakes.xml())
    gluster = console.Console(node)
    for read, count in ((False, 3), (True, 2)):
        together = threading.Barrier(count)
        node.during = lambda said, wait=together.wait: wait(5)  # type: ignore[misc]
        word = 'list' if read else 'status'
        what = ('pool', word) if read else ('volume', word)
        with fakes.threads(
            [lambda w=what, r=read: gluster.run(*w, is_read=r)] * count  # type: ignore[misc]
        ):
            pass
    idle = [each for each in node.opened if each.is_alive]
    node.during = lambda said: None
    gluster.run('volume', 'heal', 'x', 'info', needs_own_process=True)
    left = [each for each in node.opened if each.is_alive]
    assert len(left) <= 4 or len(left) == len(idle) < 5


def test_an_error_releases_the_slot() -> None:
    node = fakes.Node().gluster('pool list', *[lost()] * 9, fakes.xml())
    gluster = console.Console(node)
    for _ in range(9):
        with pytest.raises(errors.LinkLost):
            gluster.run('pool', 'list', timeout=0.01)
    assert gluster.run('pool', 'list', timeout=0.01).has_succeeded


def test_closing_ends_the_idle_consoles() -> None:
    node = fakes.Node().gluster('pool list', fakes.xml())
    gluster = console.Console(node)
    gluster.run('pool', 'list')
    gluster.close()
    assert node.opened[0].ended
    gluster.run('pool', 'list')
    assert len(node.opened) == 2
