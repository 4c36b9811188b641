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
"""The machine the lab runs on: commands, processes, files, locks.

Nothing here is about a guest.
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import fcntl
import os
from pathlib import Path
import shutil
import signal
import subprocess
import time
from typing import TypeGuard

from tests.lab.errors import EXCERPT, LabError

#: The programs that the lab runs on the host, and their Debian packages.
PROGRAMS = {
    'mmdebstrap': 'mmdebstrap',
    'patchelf': 'patchelf',
    'mke2fs': 'e2fsprogs',
    'ip': 'iproute2',
    'tc': 'iproute2',
    'taskset': 'util-linux',
    'nsenter': 'util-linux',
    'ssh': 'openssh-client',
    'ssh-keygen': 'openssh-client',
    'openssl': 'openssl',
}

#: The environment variable that names the owner of a process.
MARK = 'MANILA_GLUSTERFS_CLONE_LAB_MARK'

#: Debian keeps some of those where only root's path leads.
_PATH = f'{os.environ.get("PATH", "")}:/usr/local/sbin:/usr/sbin:/sbin'


def check() -> None:
    """Raise a LabError that lists all programs this host lacks."""
    problems = []
    if os.geteuid() != 0:
        problems.append('it needs root (network namespace, taps, images)')
    missing = {
        package
        for program, package in PROGRAMS.items()
        if shutil.which(program, path=_PATH) is None
    }
    if missing:
        problems.append(
            f'these Debian packages are missing: {" ".join(sorted(missing))}'
        )
    if not Path('/dev/net/tun').exists():
        problems.append('there is no /dev/net/tun (kernel module tun)')
    if problems:
        raise LabError(f'the lab cannot run here: {"; ".join(problems)}')


def run(
    argv: Sequence[str],
    *,
    timeout: float = 60,
    stdin: bytes | None = None,
    check: bool = True,
) -> str:
    """Run a command on the host and return its stdout.

    :param timeout: seconds.
    :param check: whether an exit status other than 0 is a LabError.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=timeout,
            env={**os.environ, 'PATH': _PATH, 'LC_ALL': 'C'},
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(
            f'{" ".join(argv)!r} did not end within {timeout:g} s'
        ) from error
    except OSError as error:
        raise LabError(f'{argv[0]!r} cannot be run: {error}') from error
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors='replace')
        raise LabError(
            f'{" ".join(argv)!r} ended with status {done.returncode}:\n'
            f'{said.strip()[-EXCERPT:]}'
        )
    return done.stdout.decode(errors='replace')


def started(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot.

    A pid together with this names one process for ever. None: there is no
    such process, or only its zombie.
    """
    try:
        stat = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return None
    # The command's name, in brackets, may itself hold blanks and brackets.
    fields = stat.rpartition(')')[2].split()
    return None if fields[0] in 'ZX' else int(fields[19])


def alive(
    process: subprocess.Popen[bytes] | None,
) -> TypeGuard[subprocess.Popen[bytes]]:
    """Return whether a process started here runs; reap it otherwise.

    Who asks :func:`processes` alone may take it for dead: in the midst of an
    exec, and it may have several, a process has neither a command line nor an
    environment.
    """
    return process is not None and process.poll() is None


def processes(file: str) -> Iterator[tuple[int, bytes]]:
    """Return the content of a /proc file of each running process."""
    for name in os.listdir('/proc'):
        if name.isdigit():
            # Processes come and go; glob of pathlib fails on that.
            with contextlib.suppress(OSError):
                yield int(name), Path('/proc', name, file).read_bytes()


def processes_with(*arguments: str) -> list[int]:
    """Return the pids of processes with all these words in their command."""
    wanted = {argument.encode() for argument in arguments}
    return [
        pid
        for pid, line in processes('cmdline')
        if wanted <= set(line.split(b'\0'))
    ]


def kill_all_with(*arguments: str, timeout: float = 20) -> None:
    """SIGKILL the processes with all these words in their command.

    :raises LabError: when some are still there after *timeout* seconds.
    """
    deadline = time.monotonic() + timeout
    while pids := processes_with(*arguments):
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise LabError(f'processes {pids} do not die ({arguments})')
        time.sleep(0.05)


def processes_marked(mark: str) -> dict[int, int]:
    """Return the pids of processes with a mark, each with its parent's.

    A mark is the value of :data:`MARK` in the environment that a process
    was started with; ``a/b`` is also found by ``a``. What it starts in turn
    inherits it, and so is found even if it went into the background, became
    nobody's child or calls itself something else.
    """
    start = f'{MARK}='.encode()
    found = {}
    for pid, environ in processes('environ'):
        for word in environ.split(b'\0'):
            if word.startswith(start):
                bears = os.fsdecode(word.removeprefix(start))
                if f'{bears}/'.startswith(f'{mark}/'):
                    with contextlib.suppress(OSError):
                        stat = Path(f'/proc/{pid}/stat').read_text()
                        parent = int(stat.rpartition(')')[2].split()[1])
                        found[pid] = parent
    return found


def kill_all_marked(mark: str, timeout: float = 20) -> None:
    """SIGKILL the processes that have a mark.

    :raises LabError: when some are still there after *timeout* seconds.
    """
    deadline = time.monotonic() + timeout
    while pids := processes_marked(mark):
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise LabError(f'processes {list(pids)} do not die ({mark})')
        time.sleep(0.02)


def run_logged(
    argv: Sequence[str],
    log: Path,
    timeout: float,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a long command with its output in a file, and name the file.

    :param env: the whole environment; that of this process unless given.
    """
    with log.open('ab') as file:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise LabError(
                    f'{" ".join(argv)!r} did not end within {timeout:g} s:\n'
                    f'{tail(log)}'
                ) from error
            raise
    if status != 0:
        raise LabError(
            f'{" ".join(argv)!r} ended with status {status}:\n{tail(log)}'
        )


def tail(log: Path, lines: int = 25) -> str:
    """Return the end of a text file, or nothing if it does not exist."""
    try:
        text = log.read_text(errors='replace')
    except OSError:
        return ''
    return '\n'.join(text.splitlines()[-lines:])


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for and hold an exclusive lock on a file.

    The kernel gives it back when the holder dies, however it dies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that readers see the old or the new content."""
    beside = path.with_name(f'.{path.name}.{os.getpid()}')
    beside.write_text(text)
    beside.replace(path)


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a disk image and keep its holes."""
    run(
        ['cp', '--sparse=always', '--reflink=auto', str(source), str(target)],
        timeout=300,
    )
