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
"""Whether a node has, and lets the driver run, every program it needs.

Each program is started by the very command line that it is started by
later, through sudo and ``timeout``, with arguments that change nothing. All
of them go to the node as one command.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import re

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import remote

#: Seconds for one program, and for all of them.
_SECONDS, _TIMEOUT = 10, 60.0

#: No such path can be made: setfattr runs, and fails to find it.
_NOWHERE = '/proc/manila-glusterfs-clone'

#: What marks the lines of our own: login shells and sudo may print more.
_MARK = '@probe'
_LINE = re.compile(
    rf'^{_MARK} (?P<program>\S+) (?P<status>\d+) (?P<said>.*)$', re.MULTILINE
)
_RELEASE = re.compile(r'glusterfs (\d+)\.(\d+)')
_STATES = re.compile(
    r'\b(enabled|enabled-runtime|linked|linked-runtime|alias|masked'
    r'|masked-runtime|static|indirect|disabled|generated|transient|bad'
    r'|not-found)$'
)


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that the driver runs on nodes."""

    name: str
    #: The package that has it on Debian and Ubuntu.
    package: str
    #: Arguments with which it changes nothing.
    words: tuple[str, ...] = ('--version',)
    #: Whether it is run as root.
    as_root: bool = True


PROGRAMS = (
    *(
        Program(name, 'lvm2')
        for name in ('lvs', 'lvcreate', 'lvchange', 'lvextend', 'lvremove')
    ),
    Program('findmnt', 'util-linux'),
    Program('mount', 'mount'),
    Program('umount', 'mount'),
    Program('mkfs.xfs', 'xfsprogs', ('-V',)),
    Program('xfs_growfs', 'xfsprogs', ('-V',)),
    Program('getfattr', 'attr'),
    Program(
        'setfattr',
        'attr',
        (
            '--name=trusted.glusterfs.volume-id',
            f'--value=0x{"0" * 32}',
            _NOWHERE,
        ),
    ),
    *(Program(name, 'coreutils') for name in ('mkdir', 'rmdir', 'sync')),
    Program('hostname', 'hostname'),
    Program('ls', 'coreutils', as_root=False),
    Program('ps', 'procps', as_root=False),
    Program('gluster', 'glusterfs-cli'),
    Program('systemctl', 'systemd', ('is-enabled', node_files.UNIT)),
)

PACKAGES: Mapping[str, str] = {
    'timeout': 'coreutils',
    **{program.name: program.package for program in PROGRAMS},
}


@dataclasses.dataclass(frozen=True)
class Probe:
    """What was found on one node."""

    #: Programs that ran.
    ran: frozenset[str]
    #: Programs that it does not have.
    missing: tuple[str, ...]
    #: Programs that sudo does not let the driver run, and what was said.
    refused: Mapping[str, str]
    #: Programs that could not be tried, and what was said.
    failed: Mapping[str, str]
    #: Of GlusterFS; None if it cannot be told.
    release: tuple[int, int] | None
    #: Of the unit that mounts bricks at boot, as systemd has it, such as
    #: ``enabled``; empty if it cannot be told.
    boot_unit: str


def script(*, sudo: bool) -> str:
    """Make the script, of constants only, that tries all programs."""
    parts = []
    for program in PROGRAMS:
        line = remote.command_line(
            [program.name, *program.words],
            sudo=sudo and program.as_root,
            seconds=_SECONDS,
        )
        parts.append(
            f'said=$({line} 2>&1 </dev/null); printf "%s %s %s %s\\n" '
            f'{_MARK} {program.name} $? '
            f'"$(printf %s "$said" | tr "\\n" " " | cut -c-300)"'
        )
    return '; '.join(parts)


def ask(node: circuit_breaker.CommandRunner, *, sudo: bool) -> Probe:
    """Try all programs on a node.

    :param sudo: whether those that need root are run through sudo.
    :raises errors.Unreachable: the node cannot be reached.
    :raises errors.CommandFailed, errors.Garbled: its login shell does not
        run commands.
    :raises errors.Unknown: the node did not answer.
    """
    result = node.run(
        ['sh', '-c', script(sudo=sudo)], timeout=_TIMEOUT, as_root=False
    )
    answers = {
        match['program']: (int(match['status']), match['said'].strip())
        for match in _LINE.finditer(result.stdout)
    }
    if answers.keys() != {program.name for program in PROGRAMS}:
        raise errors.Garbled(
            result.node,
            ('sh', '-c', 'a try of all programs'),
            result.stdout + result.stderr,
        )
    return _judge(answers)


def _judge(answers: Mapping[str, tuple[int, str]]) -> Probe:
    ran: list[str] = []
    missing: list[str] = []
    refused, failed = {}, {}
    unit = ''
    for program in PROGRAMS:
        status, said = answers[program.name]
        if program.name == 'systemctl':
            unit = _state(said)
        absent = _absent(program.name, status, said)
        if absent:
            missing.append(absent)
        elif _ran(program.name, status, said, unit):
            ran.append(program.name)
        elif status == 1:
            # With such arguments none of them says no by itself.
            refused[program.name] = said
        else:
            failed[program.name] = said or f'status {status}'
    release = _RELEASE.search(answers['gluster'][1])
    return Probe(
        ran=frozenset(ran),
        missing=tuple(dict.fromkeys(missing)),
        refused=refused,
        failed=failed,
        release=(int(release[1]), int(release[2])) if release else None,
        boot_unit=unit,
    )


def _absent(name: str, status: int, said: str) -> str:
    """Name the program that is not there: this one, or a wrapper of it."""
    for each in (name, 'timeout', 'sudo'):
        if f'{each}: command not found' in said or (
            status == 127 and f'{each}: not found' in said
        ):
            return each
    return name if status == 127 else ''


def _ran(name: str, status: int, said: str, unit: str) -> bool:
    if name == 'setfattr':
        return status == 1 and f'{_NOWHERE}: No such file' in said
    if name == 'systemctl':
        # What it cannot tell is no reason to think that sudo refused it.
        return bool(unit) or 'ailed to ' in said
    return status == 0


def _state(said: str) -> str:
    if 'No such file or directory' in said:
        return 'not-found'
    found = _STATES.search(said)
    return found[1] if found else ''


def packages_of(programs: Sequence[str]) -> tuple[str, ...]:
    """Name the packages that have programs; none for what we do not know."""
    return tuple(
        dict.fromkeys(PACKAGES[name] for name in programs if name in PACKAGES)
    )
