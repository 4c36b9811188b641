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
"""The programs that the driver runs on nodes, and a probe that tries them.

The probe runs each program with the same command line as the driver does
later, by sudo and ``timeout``, with arguments that change nothing. It is one
command on the node.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import re

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import commands

#: Seconds for one program, and for all of them.
_PROGRAM_TIMEOUT, _TIMEOUT = 10, 60.0

#: A path that cannot exist: setfattr runs, and does not find it.
_NO_SUCH_PATH = '/proc/manila-glusterfs-clone'

#: Begins each line of the probe. Login shells and sudo may print others.
_MARK = '@probe'
_LINE = re.compile(
    rf'^{_MARK} (?P<program>\S+) (?P<status>\d+) (?P<output>.*)$',
    re.MULTILINE,
)
_RELEASE = re.compile(r'glusterfs (\d+)\.(\d+)')
#: The states of a unit that ``systemctl is-enabled`` prints (systemctl(1)).
_UNIT_STATES = re.compile(
    r'\b(enabled|enabled-runtime|linked|linked-runtime|alias|masked'
    r'|masked-runtime|static|indirect|disabled|generated|transient|bad'
    r'|not-found)$'
)


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that the driver runs on nodes."""

    name: str
    #: The package of Debian and Ubuntu that has the program.
    package: str
    #: Arguments with which the program changes nothing.
    words: tuple[str, ...] = ('--version',)
    #: Whether the driver runs the program as root.
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
            _NO_SUCH_PATH,
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
    """The result of the probe of one node."""

    #: Programs that ran.
    ran: frozenset[str]
    #: Programs that are not installed.
    missing: tuple[str, ...]
    #: Programs that sudo refused to run, with the output of sudo.
    refused: Mapping[str, str]
    #: Programs that failed for another reason, with their output.
    failed: Mapping[str, str]
    #: The release of GlusterFS; None if unknown.
    release: tuple[int, int] | None
    #: The state of the unit that mounts bricks at boot, as systemd prints
    #: it, for example ``enabled``; empty if unknown.
    boot_unit: str


def script(*, sudo: bool) -> str:
    """Return the shell script that tries all programs.

    The script consists of constants only.
    """
    parts = []
    for program in PROGRAMS:
        line = commands.command_line(
            [program.name, *program.words],
            sudo=sudo and program.as_root,
            seconds=_PROGRAM_TIMEOUT,
        )
        parts.append(
            f'output=$({line} 2>&1 </dev/null); printf "%s %s %s %s\\n" '
            f'{_MARK} {program.name} $? '
            f'"$(printf %s "$output" | tr "\\n" " " | cut -c-300)"'
        )
    return '; '.join(parts)


def probe(node: circuit_breaker.CommandRunner, *, sudo: bool) -> Probe:
    """Try all programs on a node.

    :param sudo: whether programs that need root are run by sudo.
    :raises errors.Unreachable: the node cannot be reached.
    :raises errors.CommandFailed, errors.Garbled: the login shell of the user
        does not run commands.
    :raises errors.Unknown: the node did not answer.
    """
    result = node.run(
        ['sh', '-c', script(sudo=sudo)], timeout=_TIMEOUT, as_root=False
    )
    outcomes = {
        match['program']: (int(match['status']), match['output'].strip())
        for match in _LINE.finditer(result.stdout)
    }
    if outcomes.keys() != {program.name for program in PROGRAMS}:
        raise errors.Garbled(
            result.node,
            ('sh', '-c', 'probe of all programs'),
            result.stdout + result.stderr,
        )
    return _evaluate(outcomes)


def _evaluate(outcomes: Mapping[str, tuple[int, str]]) -> Probe:
    ran: list[str] = []
    missing: list[str] = []
    refused, failed = {}, {}
    unit = ''
    for program in PROGRAMS:
        status, output = outcomes[program.name]
        if program.name == 'systemctl':
            unit = _unit_state(output)
        missing_program = _missing_program(program.name, status, output)
        if missing_program:
            missing.append(missing_program)
        elif _has_run(program.name, status, output, unit):
            ran.append(program.name)
        elif status == 1:
            # With these arguments no program itself exits with 1.
            refused[program.name] = output
        else:
            failed[program.name] = output or f'status {status}'
    release = _RELEASE.search(outcomes['gluster'][1])
    return Probe(
        ran=frozenset(ran),
        missing=tuple(dict.fromkeys(missing)),
        refused=refused,
        failed=failed,
        release=(int(release[1]), int(release[2])) if release else None,
        boot_unit=unit,
    )


def _missing_program(name: str, status: int, output: str) -> str:
    """Return the program that is missing: this one, ``timeout`` or ``sudo``.

    :return: empty if none is missing.
    """
    for program in (name, 'timeout', 'sudo'):
        if f'{program}: command not found' in output or (
            status == 127 and f'{program}: not found' in output
        ):
            return program
    return name if status == 127 else ''


def _has_run(name: str, status: int, output: str, unit: str) -> bool:
    if name == 'setfattr':
        return status == 1 and f'{_NO_SUCH_PATH}: No such file' in output
    if name == 'systemctl':
        # systemctl ran even if it failed to read the state of the unit.
        return bool(unit) or 'ailed to ' in output
    return status == 0


def _unit_state(output: str) -> str:
    if 'No such file or directory' in output:
        return 'not-found'
    match = _UNIT_STATES.search(output)
    return match[1] if match else ''


def packages_of(programs: Sequence[str]) -> tuple[str, ...]:
    """Return the packages of programs, without those of unknown programs."""
    return tuple(
        dict.fromkeys(PACKAGES[name] for name in programs if name in PACKAGES)
    )
