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
"""Reads requests from stdin, and writes answers to stdout."""

import json
import os
import signal
import threading
import time
import traceback
from typing import Any, Dict, List, NoReturn, Sequence, Tuple
import warnings

from manila_glusterfs_clone.node import runner
from manila_glusterfs_clone.node.runner import child_processes
from manila_glusterfs_clone.node.runner import frames
from manila_glusterfs_clone.node.runner import process_table
from manila_glusterfs_clone.node.runner import steps
from manila_glusterfs_clone.node.runner import validation
from manila_glusterfs_clone.node.runner import verbs

#: The settings that the installer wrote to this node.
SETTINGS = '/etc/manila-glusterfs-clone/runner.json'

_LONGEST_STEP = 900.0
_MOST_STEPS, _MOST_REQUESTS = 64, 32
#: Seconds to wait for the last answers after the connection has ended.
_LAST_ANSWERS = 1.0

Checked = Tuple[str, verbs.Verb, float, Dict[str, Any]]


class Service:
    """The requests of one connection."""

    def __init__(self, settings: validation.Settings) -> None:
        self._settings = settings
        self._running = process_table.ProcessTable()
        self._frames = frames.Frames()
        self._output = threading.Lock()
        self._threads: List[threading.Thread] = []

    def run(self) -> int:
        """Serve until the connection ends, and return an exit status."""
        status = 0
        try:
            while True:
                data = _read()
                if not data:
                    break
                for request in self._frames.feed(data):
                    self._begin(request)
        except frames.Broken as error:
            status = 3
            self._send({'broken': str(error)})
            child_processes.write(2, f'not a request: {error}\n'.encode())
        self._running.stop()
        until = time.monotonic() + _LAST_ANSWERS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return status

    def _begin(self, request: Dict[str, Any]) -> None:
        number, asked = request.get('id'), request.get('steps')
        if (
            request.keys() != {'id', 'steps'}
            or type(number) is not int
            or not isinstance(asked, list)
            or not 0 < len(asked) <= _MOST_STEPS
        ):
            raise frames.Broken(f'no request: {request!r:.200}')
        self._threads = [t for t in self._threads if t.is_alive()]
        if len(self._threads) >= _MOST_REQUESTS:
            busy = validation.NotDone('refused', 'busy')
            self._refuse(number, range(len(asked)), 0, busy.answer)
            return
        thread = threading.Thread(
            target=self._serve, args=(number, asked), daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _serve(self, number: int, asked: Sequence[Any]) -> None:
        answered = 0
        checked: List[Checked] = []
        try:
            for step in asked:
                checked.append(self._check(step))
            for name, verb, seconds, given in checked:
                if name == 'hello':
                    answer = self._greeting()
                else:
                    answer = steps.Step(
                        self._settings, self._running, verb, given, seconds
                    ).carry_out()
                self._answer(number, answered, {'outcome': 'done', **answer})
                answered += 1
            return
        except validation.NotDone as error:
            failure = error.answer
        except Exception:
            reason = traceback.format_exc()
            failure = validation.NotDone(
                'unknown', 'failed', reason=reason
            ).answer
        failed = answered if len(checked) == len(asked) else len(checked)
        self._refuse(number, range(answered, len(asked)), failed, failure)

    def _check(self, step: Any) -> Checked:
        if not isinstance(step, dict) or (
            step.keys() != {'verb', 'seconds', 'values'}
        ):
            raise validation.Invalid(f'{step!r:.200} is not a step')
        name, seconds = step['verb'], step['seconds']
        if type(seconds) not in (int, float) or not (
            0 < seconds <= _LONGEST_STEP
        ):
            raise validation.Invalid(
                f'{seconds!r:.200} is no number of seconds'
            )
        verb = verbs.check(self._settings, name, step['values'])
        if self._settings.problem and name != 'hello':
            raise validation.Invalid(self._settings.problem)
        return name, verb, seconds, step['values']

    def _greeting(self) -> Dict[str, Any]:
        greeting = {
            'release': runner.RELEASE,
            'oldest_served': runner.OLDEST_SERVED,
            'brick_roots': self._settings.brick_roots,
            'volume_groups': self._settings.volume_groups,
            'problem': self._settings.problem,
            'missing_programs': [
                name
                for name in verbs.PROGRAMS
                if not child_processes.find(name)
            ],
        }
        return {'argv': ['hello'], 'stdout': json.dumps(greeting)}

    def _refuse(
        self, number: int, at: range, failed: int, failure: Dict[str, Any]
    ) -> None:
        """Send the answers for the failed step and for the skipped steps."""
        for step in at:
            skipped = {'outcome': 'skipped'}
            self._answer(number, step, failure if step == failed else skipped)

    def _answer(self, number: int, step: int, answer: Dict[str, Any]) -> None:
        self._send({'id': number, 'step': step, **answer})

    def _send(self, content: Dict[str, Any]) -> None:
        if self._frames.nonce is None:
            return
        with self._output:
            try:
                line = frames.frame(self._frames.nonce, content)
                child_processes.write(1, line)
            except OSError:
                # The driver has disconnected.
                os.kill(os.getpid(), signal.SIGTERM)


def _read() -> bytes:
    """Wait for input; return no bytes at its end."""
    try:
        return os.read(0, 1 << 16)
    except OSError:
        return b''


def _end_input(number: int, _: Any) -> None:
    """Handle a signal: end the input, and thereby the connection."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def main() -> NoReturn:
    """Serve the connection on stdin and stdout."""
    # Python warns if a process with threads forks.
    warnings.simplefilter('ignore')
    os.chdir('/')
    os.umask(0o022)
    for number in child_processes.SIGNALS:
        signal.signal(number, _end_input)
    # The output of the login shell possibly does not end with a newline.
    child_processes.write(1, b'\n')
    os._exit(Service(validation.read_settings(SETTINGS)).run())
