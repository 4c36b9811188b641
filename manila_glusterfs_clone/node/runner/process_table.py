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
"""The running processes of one connection, and its idle gluster consoles."""

import contextlib
import signal
import threading
import time
from typing import Dict, List, Optional, Sequence, Tuple

from manila_glusterfs_clone.node.runner import child_processes
from manila_glusterfs_clone.node.runner import validation

_MOST_CONSOLES = 6


class ProcessTable:
    """The processes of one connection."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._is_stopping = False
        #: The running processes, and whether each changes something.
        self._running: Dict[child_processes.Process, bool] = {}
        self._idle: List[child_processes.Process] = []

    def start(
        self,
        argv: Sequence[str],
        function: Optional[child_processes.Function] = None,
        *,
        changes: bool,
    ) -> child_processes.Process:
        """Start a process.

        :raises NotDone: the process cannot be started.
        """
        with self._guard:
            if self._is_stopping:
                raise validation.NotDone('refused', 'stopping', argv=argv)
            process = child_processes.Process(argv, function)
            self._running[process] = changes
        return process

    def forget(self, process: child_processes.Process) -> None:
        """Stop waiting for a process."""
        with self._guard:
            del self._running[process]
            process.close()

    def ask(
        self, line: str, until: float, *, changes: bool
    ) -> Tuple[str, child_processes.Process]:
        """Run a line in a gluster console.

        :return: the result of :meth:`.child_processes.Process.wait`, and the
            console with its output.
        """
        console = self._console(changes)
        end = 'ended'
        try:
            with contextlib.suppress(BrokenPipeError):
                child_processes.write(console.stdin, f'{line}\n'.encode())
            end = console.wait(until, child_processes.END.encode())
            return end, console
        finally:
            if end != 'marked':
                self.end(console)

    def keep(self, console: child_processes.Process) -> None:
        """Keep a console for the next line, after it has answered."""
        with self._guard:
            if len(self._idle) < _MOST_CONSOLES and not self._is_stopping:
                console.forget_output()
                del self._running[console]
                self._idle.append(console)
                return
        self.end(console)

    def end(self, console: child_processes.Process) -> None:
        """End a console."""
        console.kill(signal.SIGKILL)
        console.wait(time.monotonic() + child_processes.GIVE_UP_AFTER)
        self.forget(console)

    def stop(self) -> None:
        """Kill the processes that only read, and wait for the others.

        Start no more processes.
        """
        with self._guard:
            self._is_stopping = True
            for process, changes in self._running.items():
                if not changes:
                    process.kill(signal.SIGKILL)
        while self._changes():
            time.sleep(0.02)

    def _changes(self) -> bool:
        with self._guard:
            return any(self._running.values())

    def _console(self, changes: bool) -> child_processes.Process:
        """Return an idle console, or start a new one."""
        while True:
            with self._guard:
                if self._is_stopping or not self._idle:
                    break
                console = self._idle.pop()
                self._running[console] = changes
            # Such output would be taken for the answer to the next line.
            if not console.has_news():
                console.forget_output()
                return console
            self.end(console)
        return self.start(child_processes.CONSOLE, changes=changes)
