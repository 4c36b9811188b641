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
"""The runner as a real process: requests, outcomes, deadlines, its end."""

import os
import signal
import time

import pytest

from manila_glusterfs_clone.node.runner import frames
from manila_glusterfs_clone.node.runner import verbs
from tests.unit import runner_process
from tests.unit.runner_process import step

Node = runner_process.Node
Talk = runner_process.Talk
LV = f'gvg/{runner_process.VOLUME}'
VOLUME = runner_process.VOLUME
HEX = runner_process.HEX
MIB = runner_process.MIB

#: A change that shows whether it went on to its end.
_WHOLE = '/bin/sleep 0.2; echo whole >>"$S/calls"'
#: The same, but it waits for ``node.go()``.
_WHOLE_AFTER_GO = f'{runner_process.UNTIL_GO}; echo whole >>"$S/calls"'


def await_calls(node: Node, call: str, count: int = 1) -> None:
    until = time.monotonic() + 20
    while sum(line.startswith(call) for line in node.calls()) < count:
        assert time.monotonic() < until, node.calls()
        time.sleep(0.01)


def _changes(node: Node) -> list[str]:
    """Return the calls but for reports of LVs."""
    return [call for call in node.calls() if not call.startswith('lvs ')]


def test_a_greeting(node: Node, talk: Talk) -> None:
    value = talk.value(step('hello'))
    assert value['release'] >= value['oldest_served'] >= 1
    assert value['brick_roots'] == [str(node.bricks)]
    assert value['volume_groups'] == ['gvg', 'tvg']
    assert value['problem'] == ''
    assert value['missing_programs'] == []


def test_programs(node: Node, talk: Talk) -> None:
    node.program('gluster', 'echo glusterfs 11.1')
    (node.root / 'bin' / 'xfs_growfs').unlink()
    assert talk.value(step('hello'))['missing_programs'] == ['xfs_growfs']
    version = talk.one(step('gluster_version'))
    assert version['stdout'] == 'glusterfs 11.1\n'


def test_every_program_is_looked_for() -> None:
    examples = {'lv': 'gvg/x', 'lvs': ['gvg/x'], 'size': 1, 'names': []}
    for verb in verbs.VERBS.values():
        if verb.function is None:
            values = {
                name: examples.get(name, ['x'] if name == 'words' else 'x')
                for name in verb.checks
            }
            assert verb.words(**values)[0] in verbs.PROGRAMS


def test_what_is_printed_before_the_first_frame(talk: Talk) -> None:
    """Its own first byte ends a line that a login shell did not end."""
    assert talk.one(step('list_mounts'))['outcome'] == 'done'
    assert talk.frames.noise() == '\n'


def test_the_making_of_a_brick(node: Node, talk: Talk) -> None:
    target = node.bricks / VOLUME
    tags = ['manila.brick', f'manila.mount={target}']
    answers = talk.one(
        step('create_lv', lv=LV, pool='pool', size=MIB, tags=tags),
        step('make_xfs', lv=LV),
        step('make_directory', path=str(target)),
        step('mount', lv=LV, path=str(target)),
    )
    assert runner_process.outcomes(answers) == ['done'] * 4
    assert _changes(node) == [
        f'lvcreate --yes --wipesignatures=y --type=thin '
        f'--virtualsize={MIB}b --thinpool=pool --name={VOLUME} '
        f'--addtag=manila.brick --addtag=manila.mount={target} gvg',
        f'mkfs.xfs -q -K -i size=512 /dev/{LV}',
        f'mount --types=xfs --options=nouuid,noatime /dev/{LV} {target}',
    ]
    assert target.is_dir()
    assert answers[0]['argv'][0] == 'lvcreate'
    assert answers[0]['status'] == 0


def test_the_adoption_of_a_clone(node: Node, talk: Talk) -> None:
    target = node.snaps / HEX / 'brick1'
    node.lvs(runner_process.lv(runner_process.CLONE_LV))
    lv = f'gvg/{runner_process.CLONE_LV}'
    answers = talk.one(
        step('tag_lvs', lvs=[lv], tags=['manila.brick']),
        step('untag_lvs', lvs=[lv], tags=['manila.unmanaged']),
        step('extend_lv', lv=lv, size=128 * MIB),
        step('grow_xfs', path=str(target)),
    )
    assert runner_process.outcomes(answers) == ['done'] * 4
    assert _changes(node) == [
        f'lvchange --addtag=manila.brick {lv}',
        f'lvchange --deltag=manila.unmanaged {lv}',
        f'lvextend --size={128 * MIB}b {lv}',
        f'xfs_growfs -d {target}',
    ]


def test_directories_that_are_so_already(node: Node, talk: Talk) -> None:
    target = str(node.bricks / VOLUME)
    answers = talk.one(
        step('make_directory', path=target),
        step('make_directory', path=target),
        step('remove_directories', paths=[target], keep_full=False),
        step('remove_directories', paths=[target], keep_full=False),
    )
    assert runner_process.outcomes(answers) == ['done'] * 4
    assert not node.calls()


def test_the_reclaiming_of_a_brick(node: Node, talk: Talk) -> None:
    target = node.bricks / VOLUME
    target.mkdir()
    node.mounted(('253:7', target))
    answers = talk.one(
        step('sync', paths=[str(node.glusterd)]),
        step('unmount', path=str(target)),
        step('remove_directories', paths=[str(target)], keep_full=False),
        step('remove_lvs', lvs=[LV]),
    )
    assert runner_process.outcomes(answers) == ['done'] * 4
    assert not target.exists()
    assert node.calls()[0] == f'umount {target}'
    assert node.calls()[-1] == f'lvremove --force --yes {LV}'


def test_the_proof_of_a_brick(node: Node, talk: Talk) -> None:
    brick = node.bricks / VOLUME / 'brick'
    volume_id = step('read_volume_id', path=str(brick))
    own_files = step('is_directory', path=str(brick / '.glusterfs'))
    assert talk.value(volume_id) is None
    assert talk.value(own_files) is False
    brick.mkdir(parents=True)
    assert talk.value(volume_id) is None
    assert talk.value(own_files) is False
    (brick / '.glusterfs').mkdir()
    answers = talk.one(
        step('write_volume_id', path=str(brick), volume_id=HEX),
        step('sync', paths=[str(brick), str(node.glusterd)]),
    )
    assert runner_process.outcomes(answers) == ['done'] * 2
    assert talk.value(volume_id) == HEX
    assert talk.value(own_files) is True


def test_leftover_directories(node: Node, talk: Talk) -> None:
    empty = node.root / 'run' / 'vols' / VOLUME
    full = node.snaps / runner_process.SNAPSHOT
    for path in (empty, full / HEX, full / 'other' / 'file'):
        path.mkdir(parents=True)
    paths = [str(empty), str(full / HEX), str(full)]
    keep = step('remove_directories', paths=paths, keep_full=True)
    insist = step('remove_directories', paths=paths, keep_full=False)
    assert talk.one(keep)['outcome'] == 'done'
    assert not empty.exists()
    assert talk.value(step('list_directory', path=str(full))) == ['other']
    refused = talk.one(insist)
    assert (refused['outcome'], refused['kind']) == ('refused', 'status')
    assert 'Directory not empty' in refused['stderr']
    missing = step('list_directory', path=str(full / 'none'))
    assert talk.value(missing) == []


def test_mounts_are_those_of_the_kernel(node: Node, talk: Talk) -> None:
    node.mounted(('253:7', node.bricks / 'a b'), ('253:9', node.snaps / HEX))
    first, second = talk.value(step('list_mounts'))
    assert first == {
        'target': f'{node.bricks}/a b',
        'source': '/dev/mapper/x',
        'fstype': 'xfs',
        'options': 'rw,noatime,rw,nouuid',
    }
    assert second['target'] == f'{node.snaps}/{HEX}'


def test_a_root_that_is_a_link(node: Node, talk: Talk) -> None:
    """Mount points are spelled as configured, whatever the kernel says."""
    real = node.root / 'elsewhere'
    node.bricks.rename(real)
    node.bricks.symlink_to(real)
    node.mounted(('253:7', real / VOLUME))
    target = str(node.bricks / VOLUME)
    assert talk.value(step('list_mounts'))[0]['target'] == target
    assert talk.one(step('unmount', path=target))['outcome'] == 'done'
    assert node.calls() == [f'umount {target}']


def test_addresses(node: Node, talk: Talk) -> None:
    (node.proc / 'net' / 'fib_trie').write_text(
        'Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.88.0.11\n'
        '        /32 host LOCAL\n     |-- 10.88.0.255\n'
        '        /32 link BROADCAST\n     |-- 127.0.0.1\n'
        '        /32 host LOCAL\n'
    )
    assert talk.value(step('addresses')) == ['10.88.0.11']
    (node.proc / 'net' / 'if_inet6').write_text(
        f'{"fd00".ljust(31, "0")}1 02 40 00 80 eth0\n'
        f'{"fe80".ljust(31, "0")}1 02 40 20 80 eth0\n'
        f'{"1".rjust(32, "0")} 01 80 10 80 lo\n'
    )
    found = talk.value(step('addresses'))
    assert found == ['10.88.0.11', 'fd00::1']


def test_names(talk: Talk) -> None:
    found = talk.value(step('resolve', name='127.0.0.7'))
    assert found == ['127.0.0.7']


def run_processes(node: Node, *processes: tuple[str, int]) -> None:
    """Set which programs run, and the second after the boot they began."""
    (node.proc / 'uptime').write_text('1000.00 1.00\n')
    ticks = os.sysconf('SC_CLK_TCK')
    for number, (name, seconds) in enumerate(processes, 7):
        (node.proc / str(number)).mkdir()
        before = '0 ' * 18
        (node.proc / str(number) / 'stat').write_text(
            f'{number} ({name}) S {before}{seconds * ticks} 0\n'
        )


def test_the_age_of_glusterd(node: Node, talk: Talk) -> None:
    run_processes(node)
    assert talk.value(step('glusterd_age')) is None
    run_processes(
        node, ('glusterd', 900), ('glusterd', 990), ('glusterfsd', 1)
    )
    assert talk.value(step('glusterd_age')) == pytest.approx(100)


def test_glusterd_is_not_running(node: Node, talk: Talk) -> None:
    """A console would wait for it, and run the command much later."""
    node.listening('/run/other.socket')
    run_processes(node, ('glusterfsd', 900))
    talk.ask(1, step('gluster', words=['pool', 'list']))
    (answer,) = talk.read()
    assert (answer['outcome'], answer['kind']) == ('refused', 'glusterd')
    assert node.calls() == []


def test_glusterd_in_another_network_namespace(node: Node, talk: Talk) -> None:
    node.listening()
    run_processes(node, ('glusterd', 900))
    talk.ask(1, step('gluster', words=['pool', 'list']))
    (answer,) = talk.read()
    assert answer['outcome'] == 'done'


def test_the_log_of_glusterd(node: Node, talk: Talk) -> None:
    log = step('read_glusterd_log')
    assert runner_process.outcomes([talk.one(log)]) == ['refused status']
    (node.root / 'glusterd.log').write_text(f'{"x" * 99999}\nthe cause\n')
    value = talk.value(log)
    assert value.endswith('x\nthe cause\n')
    assert len(value) == frames.EXCERPT


def test_the_environment_of_programs(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('SUDO_USER', 'manila')
    monkeypatch.setenv('LVM_SYSTEM_DIR', '/tmp')
    node.program('lvs', '/usr/bin/env')
    talk = Talk(node)
    try:
        output = talk.one(step('list_lvs', names=[]))['stdout']
    finally:
        talk.stop()
    assert 'SUDO_USER=manila' in output
    assert 'LC_ALL=C' in output
    assert 'LVM_SYSTEM_DIR' not in output


def test_other_reads(node: Node, talk: Talk) -> None:
    node.program('systemctl', 'echo disabled; exit 1')
    unit = talk.one(step('boot_unit'))
    assert (unit['outcome'], unit['stdout']) == ('done', 'disabled\n')
    assert VOLUME in talk.one(step('list_lvs', names=[]))['stdout']


# -- gluster


#: An option of a volume, whose value is an option of gluster too.
NAMED = ['user.manila.backend', '--version']


def test_a_console_is_used_again(node: Node, talk: Talk) -> None:
    asking = step('gluster', words=['volume', 'info'])
    for _ in range(3):
        answer = talk.one(asking)
        assert '<line>volume info</line>' in answer['stdout']
        assert answer['argv'][-2:] == ['volume', 'info']
    assert node.calls().count('console') == 1


def test_consoles_side_by_side(node: Node, talk: Talk) -> None:
    for number in range(3):
        words = ['volume', 'info', f'slow{number}']
        talk.ask(number, step('gluster', words=words))
    answers = talk.read(3)
    assert {a['id'] for a in answers} == {0, 1, 2}
    for answer in answers:
        assert f'slow{answer["id"]}<' in answer['stdout']
    assert node.calls().count('console') == 3


@pytest.mark.parametrize(
    ('words', 'status'),
    [
        (['volume', 'heal', VOLUME, 'info', 'summary'], 0),
        (['volume', 'heal', VOLUME], 1),
        (['volume', 'set', VOLUME, 'auth.allow', '10.0.0.1,' * 120], 0),
        (['volume', 'set', VOLUME, *NAMED * 40], 0),
    ],
)
def test_gluster_in_a_process_of_its_own(
    node: Node, talk: Talk, words: list[str], status: int
) -> None:
    node.gluster('<cliOutput>own</cliOutput>', status)
    answer = talk.one(step('gluster', words=words))
    assert answer['outcome'] == 'done'
    assert answer['status'] == status
    assert 'own' in answer['stdout']
    # Without "--" gluster takes the name of a back end as an option.
    options = '--mode=script --xml --'
    assert node.calls() == [f'gluster {options} {" ".join(words)}']


def test_a_console_that_ends(node: Node, talk: Talk) -> None:
    answer = talk.one(step('gluster', words=['volume', 'info', 'die']))
    assert runner_process.outcomes([answer]) == ['unknown ended']
    assert answer['stderr'] == 'Connection failed.\n'
    after = talk.one(step('gluster', words=['volume', 'list']))
    assert after['outcome'] == 'done'


@pytest.mark.parametrize('how', ['both', 'twice'])
def test_a_console_that_is_out_of_step(
    node: Node, talk: Talk, how: str
) -> None:
    """What comes after an answer is not taken for the next answer."""
    answer = talk.one(step('gluster', words=['volume', 'info', how]))
    assert answer['stdout'] == f'<cliOutput>{how}</cliOutput>'
    if how == 'twice':
        await_calls(node, 'late')
    answer = talk.one(step('gluster', words=['volume', 'list']))
    assert '<line>volume list</line>' in answer['stdout']
    assert 'late' not in answer['stdout']
    assert node.calls().count('console') == 2


def test_a_console_that_hangs(node: Node, talk: Talk) -> None:
    words = ['volume', 'info', 'hang']
    answer = talk.one(step('gluster', 0.3, words=words))
    assert runner_process.outcomes([answer]) == ['unknown deadline']
    after = talk.one(step('gluster', words=['volume', 'list']))
    assert '<line>volume list</line>' in after['stdout']


# -- outcomes


def test_a_program_that_refuses(node: Node, talk: Talk) -> None:
    node.program('lvextend', 'echo no room >&2; exit 5')
    answers = talk.one(
        step('list_mounts'),
        step('extend_lv', lv=LV, size=128 * MIB),
        step('list_mounts'),
    )
    assert runner_process.outcomes(answers) == [
        'done',
        'refused status',
        'skipped',
    ]
    assert answers[1]['status'] == 5
    assert answers[1]['stderr'] == 'no room\n'
    assert answers[1]['argv'][0] == 'lvextend'


def test_a_program_that_asks_gets_no_answer(node: Node, talk: Talk) -> None:
    node.program('lvextend', 'read -r answer || exit 5')
    answer = talk.one(step('extend_lv', lv=LV, size=128 * MIB))
    assert answer['status'] == 5


def test_a_program_that_is_not_installed(node: Node, talk: Talk) -> None:
    (node.root / 'bin' / 'lvextend').unlink()
    answer = talk.one(step('extend_lv', lv=LV, size=128 * MIB))
    assert runner_process.outcomes([answer]) == ['refused missing']
    assert answer['argv'][0] == 'lvextend'


def test_a_program_that_somebody_kills(node: Node, talk: Talk) -> None:
    node.program('lvextend', 'kill -9 $$')
    answer = talk.one(step('extend_lv', lv=LV, size=128 * MIB))
    assert runner_process.outcomes([answer]) == ['unknown signal']
    assert answer['status'] == -signal.SIGKILL


@pytest.mark.parametrize('body', ['', "trap '' TERM; "])
def test_a_deadline(node: Node, talk: Talk, body: str) -> None:
    node.program('lvs', f'{body}echo so far; /bin/sleep 60; /bin/sleep 60')
    begun = time.monotonic()
    answer = talk.one(step('list_lvs', 0.2, names=[]))
    assert time.monotonic() - begun < 5
    assert runner_process.outcomes([answer]) == ['unknown deadline']
    assert answer['stdout'] == 'so far\n'


def test_no_time_is_left_to_start(node: Node, talk: Talk) -> None:
    answer = talk.one(step('remove_lvs', 1e-9, lvs=[LV]))
    assert runner_process.outcomes([answer]) == ['refused late']
    assert not node.calls()


def test_a_daemon_that_keeps_the_output(node: Node, talk: Talk) -> None:
    node.program('lvs', 'echo all; /bin/sleep 15 & exit 0')
    begun = time.monotonic()
    answer = talk.one(step('list_lvs', names=[]))
    assert answer['stdout'] == 'all\n'
    assert time.monotonic() - begun < 10


def test_an_output_that_is_too_long(node: Node, talk: Talk) -> None:
    node.program(
        'lvs', 'echo head; /usr/bin/head -c 17000000 /dev/zero; echo tail'
    )
    answer = talk.one(step('list_lvs', names=[]))
    assert runner_process.outcomes([answer]) == ['unknown garbled']
    assert answer['stdout'].startswith('head\n')
    assert answer['stdout'].endswith('tail\n')
    assert 'bytes cut out]' in answer['stdout']
    assert len(answer['stdout']) < 3 * frames.EXCERPT


def test_errors_that_are_too_long(node: Node, talk: Talk) -> None:
    node.program(
        'lvs', '/usr/bin/head -c 99999 /dev/zero >&2; echo why >&2; exit 5'
    )
    answer = talk.one(step('list_lvs', names=[]))
    assert answer['stderr'].endswith('why\n')
    assert len(answer['stderr']) < 3 * frames.EXCERPT


def test_a_report_that_is_unreadable(node: Node, talk: Talk) -> None:
    node.program('lvs', 'echo "{ what"')
    answer = talk.one(step('remove_lvs', lvs=[LV]))
    assert runner_process.outcomes([answer]) == ['refused status']
    assert [call.split()[0] for call in node.calls()] == ['lvs']


# -- requests


def test_requests_run_side_by_side(node: Node, talk: Talk) -> None:
    node.program('lvs', runner_process.UNTIL_GO)
    for number in range(8):
        talk.ask(number, step('list_lvs', names=[]))
    talk.ask(99, step('list_mounts'))
    assert talk.read()[0]['id'] == 99
    await_calls(node, 'lvs', 8)
    node.go()
    assert {answer['id'] for answer in talk.read(8)} == {*range(8)}


def test_too_many_requests(node: Node, talk: Talk) -> None:
    most = runner_process.MOST_REQUESTS
    node.program('lvs', runner_process.UNTIL_GO)
    for number in range(most + 2):
        talk.ask(number, step('list_lvs', names=[]))
    refused = talk.read(2)
    assert runner_process.outcomes(refused) == ['refused busy'] * 2
    node.go()
    assert runner_process.outcomes(talk.read(most)) == ['done'] * most
    assert talk.one(step('list_lvs', names=[]))['outcome'] == 'done'


def test_an_invalid_step_keeps_all_from_starting(
    node: Node, talk: Talk
) -> None:
    answers = talk.one(
        step('list_lvs', names=[]),
        step('remove_lvs', lvs=['root/x']),
        step('list_lvs', names=[]),
    )
    assert runner_process.outcomes(answers) == [
        'skipped',
        'refused invalid',
        'skipped',
    ]
    assert not node.calls()


@pytest.mark.parametrize(
    'line',
    [
        b'lvs\n',
        frames.frame(runner_process.NONCE, {}),
        frames.frame(runner_process.NONCE, {'id': 2, 'steps': []}),
        frames.frame(runner_process.NONCE, {'id': '2', 'steps': [1]}),
        frames.frame(runner_process.NONCE, {'id': 2, 'steps': [1] * 65}),
        frames.frame(runner_process.NONCE, {'id': 2, 'x': 1, 'steps': [1]}),
        frames.frame('cd' * 16, {'id': 2, 'steps': [1]}),
    ],
)
def test_a_broken_request_ends_the_connection(
    node: Node, talk: Talk, line: bytes
) -> None:
    assert talk.one(step('list_lvs', names=[]))['outcome'] == 'done'
    talk.send_bytes(line)
    (answer,) = talk.read()
    assert [*answer] == ['broken']
    assert talk.status() == 3
    assert not talk.read()


def test_half_a_request_starts_nothing(node: Node, talk: Talk) -> None:
    request = {
        'id': 1,
        'steps': [runner_process.as_json(step('list_lvs', names=[]))],
    }
    talk.send_bytes(frames.frame(runner_process.NONCE, request)[:-1])
    talk.end_input()
    assert talk.status() == 0
    assert not talk.read()
    assert not node.calls()


def test_somebody_runs_it_by_hand(node: Node, talk: Talk) -> None:
    talk.send_bytes(b'help\n')
    assert talk.status() == 3
    assert talk.process.stderr is not None
    assert b'not a frame' in talk.process.stderr.read()
    assert talk.process.stdout is not None
    assert talk.process.stdout.read() == b'\n'


# -- the end of the connection


def test_the_end_of_the_input_kills_reads(node: Node, talk: Talk) -> None:
    node.program('lvs', '/bin/sleep 60')
    begun = time.monotonic()
    talk.ask(1, step('list_lvs', 60, names=[]), step('list_mounts'))
    await_calls(node, 'lvs')
    talk.end_input()
    kinds = runner_process.outcomes(talk.read(2))
    assert talk.status() == 0
    assert kinds == ['unknown signal', 'skipped']
    assert time.monotonic() - begun < 10


def stop(node: Node, talk: Talk, *, by_signal: bool) -> None:
    """Stop the runner, and wait until it starts no more processes."""
    reads = sum(call.startswith('lvs') for call in node.calls())
    node.program('lvs', 'exec /bin/sleep 60')
    talk.ask(99, step('list_lvs', names=[]))
    await_calls(node, 'lvs', reads + 1)
    if by_signal:
        talk.process.send_signal(signal.SIGTERM)
    else:
        talk.end_input()
    # It kills the processes that only read.
    (answer,) = talk.read()
    assert answer['id'] == 99


@pytest.mark.parametrize('by_signal', [False, True])
def test_the_end_of_the_input_leaves_changes_to_end(
    node: Node, talk: Talk, by_signal: bool
) -> None:
    node.program('lvextend', _WHOLE_AFTER_GO)
    talk.ask(
        1,
        step('extend_lv', lv=LV, size=128 * MIB),
        step('remove_lvs', lvs=[LV]),
    )
    await_calls(node, f'lvextend --size={128 * MIB}b {LV}')
    stop(node, talk, by_signal=by_signal)
    node.go()
    answers = talk.read(2)
    assert runner_process.outcomes(answers) == ['done', 'refused stopping']
    assert talk.status() == 0
    assert node.calls()[-1] == 'whole'
    assert not any(call.startswith('lvremove') for call in node.calls())


def test_a_console_finishes_a_change(node: Node, talk: Talk) -> None:
    """The input of the console ends only after the answer."""
    words = ['volume', 'reset', VOLUME, 'auth.slow']
    talk.ask(1, step('gluster', words=words))
    await_calls(node, f'console: {" ".join(words)}')
    talk.end_input()
    (answer,) = talk.read()
    assert answer['outcome'] == 'done'
    assert talk.status() == 0


def test_an_idle_console_gets_nothing_more(node: Node, talk: Talk) -> None:
    talk.one(step('gluster', words=['volume', 'list']))
    node.program('lvextend', _WHOLE_AFTER_GO)
    words = ['volume', 'delete', VOLUME]
    talk.ask(
        1,
        step('extend_lv', lv=LV, size=128 * MIB),
        step('gluster', words=words),
    )
    await_calls(node, 'lvextend')
    stop(node, talk, by_signal=False)
    node.go()
    kinds = runner_process.outcomes(talk.read(2))
    assert kinds == ['done', 'refused stopping']
    assert talk.status() == 0
    assert f'console: {" ".join(words)}' not in node.calls()


def test_an_answer_that_the_driver_does_not_read(
    node: Node, talk: Talk
) -> None:
    node.program('lvextend', _WHOLE)
    talk.one(step('list_mounts'))
    talk.ask(1, step('extend_lv', lv=LV, size=128 * MIB))
    assert talk.process.stdout is not None
    talk.process.stdout.close()
    assert talk.status() == 0
    assert node.calls()[-1] == 'whole'


def test_the_output_is_full(node: Node, talk: Talk) -> None:
    """What is asked meanwhile is done, and answered for when it is read."""
    node.program('lvs', '/usr/bin/head -c 300000 /dev/zero')
    node.program('mkfs.xfs', ':')
    talk.ask(1, step('list_lvs', names=[]))
    talk.ask(2, step('list_lvs', names=[]))
    words = ['snapshot', 'delete', runner_process.SNAPSHOT]
    talk.ask(3, step('gluster', words=words))
    await_calls(node, f'console: {" ".join(words)}')
    answers = talk.read(3)
    assert {answer['id'] for answer in answers} == {1, 2, 3}
    assert runner_process.outcomes(answers) == ['done'] * 3


def test_the_runner_is_killed(node: Node, talk: Talk) -> None:
    """A change goes on to its end, and the answer is missing."""
    node.program('lvextend', _WHOLE)
    talk.ask(1, step('extend_lv', lv=LV, size=128 * MIB))
    await_calls(node, f'lvextend --size={128 * MIB}b {LV}')
    talk.process.kill()
    assert not talk.read()
    await_calls(node, 'whole')


def test_it_is_installed_again_during_work(node: Node, talk: Talk) -> None:
    """A runner that is replaced goes on with what it was started as."""
    assert talk.one(step('list_mounts'))['outcome'] == 'done'
    new = node.root / 'runner.new'
    new.write_bytes(b'#!/bin/sh\nexit 1\n')
    new.rename(node.file)
    directory = step('make_directory', path=str(node.bricks / VOLUME))
    assert talk.one(directory)['outcome'] == 'done'


# -- settings


@pytest.mark.parametrize(
    'text',
    [
        '',
        '[]',
        '{}',
        '{"brick_roots": [], "volume_groups": ["gvg"]}',
        '{"brick_roots": ["/srv/x"], "volume_groups": []}',
        '{"brick_roots": ["/"], "volume_groups": ["gvg"]}',
        '{"brick_roots": ["/srv/../etc"], "volume_groups": ["gvg"]}',
        '{"brick_roots": ["/srv/x"], "volume_groups": ["-v"]}',
        '{"brick_roots": "/srv/x", "volume_groups": "gvg"}',
    ],
)
def test_settings_that_are_unfit(node: Node, text: str) -> None:
    node.settings.write_text(text)
    _require_problem(node)


def test_settings_that_others_may_write(node: Node) -> None:
    node.settings.chmod(0o666)
    assert 'other users can write' in _require_problem(node)


def _require_problem(node: Node) -> str:
    talk = Talk(node)
    try:
        problem = str(talk.value(step('hello'))['problem'])
        assert problem
        answer = talk.one(step('list_lvs', names=[]))
        assert runner_process.outcomes([answer]) == ['refused invalid']
        assert answer['reason'] == problem
        assert not node.calls()
        return problem
    finally:
        talk.stop()
