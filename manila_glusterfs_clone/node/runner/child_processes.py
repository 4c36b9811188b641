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
"""A process that the runner starts, its deadline and its output."""

import contextlib
import json
import math
import os
import select
import shutil
import signal
import subprocess
import time
import traceback
from typing import Any, Callable, List, Optional, Sequence, Tuple

from manila_glusterfs_clone.node.runner import frames
from manila_glusterfs_clone.node.runner import validation

#: Where the runner looks for programs, and the environment of programs.
PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
ENVIRONMENT = {'PATH': PATH, 'LC_ALL': 'C', 'LVM_SUPPRESS_FD_WARNINGS': '1'}
if 'SUDO_USER' in os.environ:
    # This variable shows an administrator who started a program that hangs.
    ENVIRONMENT['SUDO_USER'] = os.environ['SUDO_USER']

#: Seconds from SIGTERM to SIGKILL, and from SIGKILL to giving up.
KILL_AFTER, GIVE_UP_AFTER = 5.0, 1.0
#: Seconds to read on after a process has ended: a daemon that the process
#: started may keep the output open.
_DRAIN = 0.5
#: Seconds between two checks whether a process has ended: while its output is
#: open, and after its output has ended.
_LOOK, _LOOK_SOON = 0.1, 0.002
#: Bytes of stdout that are kept.
_LONGEST_OUTPUT = 1 << 24

CONSOLE = ('gluster', '--mode=script', '--xml')
#: The end of an answer of a console.
END = '</cliOutput>'

#: The signals that end the runner.
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

Function = Callable[[], Any]


def find(program: str) -> Optional[str]:
    """Return the path of a program, or None if it is not installed."""
    return shutil.which(program, path=PATH)


def write(descriptor: int, data: bytes) -> None:
    """Write all of the data."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class Process:
    """A process in a group of its own.

    :param function: runs in the process; None to run the program in ``argv``.
    :raises NotDone: the process cannot be started.
    """

    def __init__(
        self, argv: Sequence[str], function: Optional[Function] = None
    ) -> None:
        #: The exit status; a signal as a negative number.
        self.status: Optional[int] = None
        pipes = [os.pipe() for _ in range(3)]
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        ours = [pipes[0][1], pipes[1][0], pipes[2][0]]
        self.stdin, self._out, self._err = ours
        try:
            if function is None:
                child = _spawn(argv, theirs)
                self.pid, self._poll = child.pid, child.poll
            else:
                self.pid = _fork(function, theirs)
                self._poll = self._poll_function
        except OSError as error:
            for descriptor in ours:
                os.close(descriptor)
            raise validation.NotDone(
                'refused', 'missing', argv=argv, reason=str(error)
            ) from error
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        self._open = {self._out, self._err}
        self.forget_output()

    def forget_output(self) -> None:
        """Discard the output that was read so far."""
        self.stdout = frames.Output(_LONGEST_OUTPUT)
        self.stderr = frames.Output(2 * frames.EXCERPT)

    def wait(self, until: float, mark: bytes = b'') -> str:
        """Read until the end of the process, and kill it at the deadline.

        :param mark: stop at this text on stdout; empty to read to the end.
        :return: ``ended``, ``marked`` or ``late``.
        """
        killing: List[Tuple[float, int]] = [
            (until, signal.SIGTERM),
            (until + KILL_AFTER, signal.SIGKILL),
        ]
        give_up_at = until + KILL_AFTER + GIVE_UP_AFTER
        drained_at = math.inf
        window = b''
        while True:
            if self.has_ended() and drained_at == math.inf:
                drained_at = time.monotonic() + _DRAIN
            now = time.monotonic()
            if self.status is not None and (
                not self._open or now >= drained_at
            ):
                break
            if now >= give_up_at:
                break
            if killing and now >= killing[0][0] and self.status is None:
                self.kill(killing.pop(0)[1])
            limit = killing[0][0] if killing else give_up_at
            for descriptor in self._ready(min(limit, drained_at) - now):
                data = self._read(descriptor)
                if mark and descriptor == self._out:
                    window = (window + data)[-len(data) - len(mark) + 1 :]
                    if mark in window:
                        return 'marked'
        return 'ended' if len(killing) == 2 else 'late'

    def has_ended(self) -> bool:
        if self.status is None:
            self.status = self._poll()
        return self.status is not None

    def has_news(self) -> bool:
        """Return whether the process has ended, or printed more than blanks.

        This method discards the output that it reads.
        """
        poll = select.poll()
        for descriptor in self._open:
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poll.poll(0)]
            if not ready:
                return self.has_ended()
            for descriptor in ready:
                if self._read(descriptor).strip() or len(self._open) < 2:
                    return True

    def kill(self, number: int) -> None:
        """Send a signal to the process and its children."""
        with contextlib.suppress(ProcessLookupError):
            if self.status is None:
                os.killpg(self.pid, number)

    def end_input(self) -> None:
        """End the input of the process."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def close(self) -> None:
        """Close the input and the outputs, without waiting for the end."""
        self.end_input()
        for descriptor in (self._out, self._err):
            os.close(descriptor)

    def _read(self, descriptor: int) -> bytes:
        data = os.read(descriptor, 1 << 16)
        (self.stdout if descriptor == self._out else self.stderr).add(data)
        if not data:
            self._open.discard(descriptor)
        return data

    def _ready(self, seconds: float) -> List[int]:
        """Wait briefly for output, because the process may end meanwhile."""
        if not self._open:
            time.sleep(max(0.0, min(seconds, _LOOK_SOON)))
            return []
        poll = select.poll()
        for descriptor in self._open:
            poll.register(descriptor, select.POLLIN)
        seconds = max(0.0, min(seconds, _LOOK))
        return [found for found, _ in poll.poll(math.ceil(seconds * 1000))]

    def _poll_function(self) -> Optional[int]:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        if os.WIFSIGNALED(status):
            return -os.WTERMSIG(status)
        return os.WEXITSTATUS(status)


def _spawn(
    argv: Sequence[str], streams: Sequence[int]
) -> 'subprocess.Popen[bytes]':
    program = find(argv[0])
    if program is None:
        raise FileNotFoundError(f'{argv[0]} is not in {PATH}')
    # A new session is also a new process group.
    return subprocess.Popen(  # noqa: S603
        [program, *argv[1:]],
        stdin=streams[0],
        stdout=streams[1],
        stderr=streams[2],
        env=ENVIRONMENT,
        start_new_session=True,
    )


def _fork(function: Function, streams: Sequence[int]) -> int:
    """Start a process that prints the result of a function as JSON.

    A hung disk can block this process, but not the thread that waits for it.
    """
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return pid
    status = 2
    try:
        os.setpgid(0, 0)
        for handled in SIGNALS:
            signal.signal(handled, signal.SIG_DFL)
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        # Close the copies of the runner's output and of the consoles' inputs.
        os.closerange(3, max(map(int, os.listdir('/proc/self/fd'))) + 1)
        write(1, json.dumps(function()).encode())
        status = 0
    except OSError as error:
        write(2, f'{error}\n'.encode())
        status = 1
    except BaseException:
        write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)
