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
"""The programs that the driver needs on nodes, and a probe that tries them.

The probe runs each program in the same way as the driver: with ``timeout``
and, where the program needs root, with sudo. With the arguments of the probe,
the programs change nothing. The whole probe is one command on the node.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import re

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import commands

#: Time limits, in seconds, for one program and for the whole probe.
_PROGRAM_TIMEOUT, _TIMEOUT = 10, 60.0

#: A path that cannot exist. If setfattr reports that the path does not exist,
#: setfattr runs.
_NO_SUCH_PATH = '/proc/manila-glusterfs-clone'

#: The first word of each line that the probe prints. The login shell and sudo
#: may print other lines.
_MARK = '@probe'
_LINE = re.compile(
    rf'^{_MARK} (?P<program>\S+) (?P<status>\d+) (?P<output>.*)$',
    re.MULTILINE,
)
_RELEASE = re.compile(r'glusterfs (\d+)\.(\d+)')
#: The unit states that ``systemctl is-enabled`` can print (systemctl(1)).
_UNIT_STATES = re.compile(
    r'\b(enabled|enabled-runtime|linked|linked-runtime|alias|masked'
    r'|masked-runtime|static|indirect|disabled|generated|transient|bad'
    r'|not-found)$'
)


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that the driver runs on nodes."""

    name: str
    #: The package of Debian and Ubuntu that contains the program.
    package: str
    #: The arguments of the probe, with which the program changes nothing.
    probe_arguments: tuple[str, ...] = ('--version',)
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

    #: The programs that ran.
    working_programs: frozenset[str]
    #: The programs that are not installed.
    missing_programs: tuple[str, ...]
    #: The output of sudo, by the name of the program that sudo did not run.
    sudo_refusals: Mapping[str, str]
    #: The output of each program that failed for another reason, by its name.
    failures: Mapping[str, str]
    #: The release of GlusterFS, such as (11, 1); None if unknown.
    release: tuple[int, int] | None
    #: The state of the unit that mounts bricks at boot, as systemd prints
    #: it, for example ``enabled``; empty if unknown.
    boot_unit: str


def script(*, sudo: bool) -> str:
    """Return a shell script that runs all programs and prints the outcomes.

    The script contains no values of driver options.

    :param sudo: whether to run programs that need root with sudo.
    """
    parts = []
    for program in PROGRAMS:
        line = commands.command_line(
            [program.name, *program.probe_arguments],
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

    :param sudo: whether to run programs that need root with sudo.
    :raises errors.Unreachable: the node cannot be reached.
    :raises errors.CommandFailed, errors.Garbled: the login shell of the user
        does not run commands.
    :raises errors.Unknown: the node did not answer in time, or the SSH session
        broke.
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
    working_programs: list[str] = []
    missing_programs: list[str] = []
    sudo_refusals, failures = {}, {}
    unit_state = ''
    for program in PROGRAMS:
        status, output = outcomes[program.name]
        if program.name == 'systemctl':
            unit_state = _unit_state(output)
        missing_program = _missing_program(program.name, status, output)
        if missing_program:
            missing_programs.append(missing_program)
        elif _has_run(program.name, status, output, unit_state):
            working_programs.append(program.name)
        elif status == 1:
            # sudo exits with 1 if it refuses a program. With the arguments of
            # the probe, only setfattr and systemctl exit with 1 themselves,
            # and _has_run() recognizes their output.
            sudo_refusals[program.name] = output
        else:
            failures[program.name] = output or f'status {status}'
    release_match = _RELEASE.search(outcomes['gluster'][1])
    return Probe(
        working_programs=frozenset(working_programs),
        missing_programs=tuple(dict.fromkeys(missing_programs)),
        sudo_refusals=sudo_refusals,
        failures=failures,
        release=(int(release_match[1]), int(release_match[2]))
        if release_match
        else None,
        boot_unit=unit_state,
    )


def _missing_program(name: str, status: int, output: str) -> str:
    """Return the program that is missing: ``name``, ``timeout`` or ``sudo``.

    :param name: the program that the probe ran.
    :param status: the exit status of the program.
    :param output: the output of the program or of the login shell.
    :return: empty if no program is missing.
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
    """Return the packages of programs; omit unknown programs."""
    return tuple(
        dict.fromkeys(PACKAGES[name] for name in programs if name in PACKAGES)
    )


def group_by_message(messages: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the programs that have the same message, by message."""
    programs: dict[str, list[str]] = {}
    for program, message in messages.items():
        programs.setdefault(message, []).append(program)
    return programs
