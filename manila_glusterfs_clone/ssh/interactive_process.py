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
"""An interactive process on a node: it answers each line that it reads.

:meth:`manila_glusterfs_clone.ssh.commands.Remote.open` starts such a process,
for example a console of gluster.
"""

import os
import shlex
import time

from oslo_log import log as logging

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import channels
from manila_glusterfs_clone.ssh import login

LOG = logging.getLogger(__name__)

#: The maximum number of bytes that ``InteractiveProcess.stderr`` keeps.
TAIL_BYTES = 4096


class InteractiveProcess:
    """A process that answers line by line, for one thread at a time.

    If :meth:`ask` receives no complete answer, it closes the channel.
    ``stderr`` has the last :data:`TAIL_BYTES` bytes of the error output.
    """

    #: False if output other than whitespace followed the last answer. Then the
    #: next answer may belong to an earlier line.
    is_in_step = True

    def __init__(self, channel: channels.Channel) -> None:
        self.stderr = b''
        self._output = bytearray()
        self._channel = channel
        self._pid = os.getpid()

    @property
    def is_alive(self) -> bool:
        """Return whether the process may still run.

        Always False in a forked process.
        """
        return self._pid == os.getpid() and self._channel.is_alive()

    def ask(self, line: str, *, terminator: bytes, timeout: float) -> bytes:
        """Send a line, and return the answer, which ends with ``terminator``.

        Output after ``terminator`` counts as the beginning of the next
        answer.

        :param line: a line without its newline.
        :param timeout: seconds within which the answer must be complete.
        :raises ValueError: ``line`` has a newline or NUL, or ``terminator``
            is empty. Nothing was sent.
        :raises Unreachable: the process has ended, or this is a forked
            process. Nothing was sent.
        :raises LinkLost: the channel failed; the line may have taken effect.
            ``partial_output`` has the incomplete answer and ``stderr``.
        :raises TimedOut: the line may have taken effect.
        """
        if not terminator or '\n' in line or '\0' in line:
            raise ValueError(f'newline, NUL or no terminator: {line!r}')
        channel = self._channel
        if not self.is_alive:
            self.close()
            raise errors.Unreachable(
                channel.node,
                f'{shlex.join(channel.argv)!r} has ended, so the next line '
                f'was not sent to it',
            )
        start = time.monotonic()
        outcome = 'error'
        is_answered = False
        try:
            channel.set_time_limit(timeout)
            answer = self._exchange(line.encode() + b'\n', terminator)
            channel.clear_time_limit()
            outcome = f'{len(answer)} bytes'
            is_answered = True
            return answer
        except channels.CONNECTION_ERRORS as error:
            partial_output = b'\n'.join(
                filter(None, (self._output, self.stderr))
            )
            failure = channel.error_for(
                login.describe(error), partial_output, line
            )
            outcome = type(failure).__name__
            raise failure from error
        finally:
            if not is_answered:
                self.close()
            seconds = time.monotonic() - start
            command = shlex.join([*channel.argv, line])
            LOG.debug(
                '%s: %s: %s, %.3f s', channel.node, command, outcome, seconds
            )

    def close(self) -> None:
        """Close the channel: the input of the process ends.

        In a forked process this does nothing: the parent owns the channel.
        """
        if self._pid == os.getpid():
            self._channel.close(self._channel.is_reusable())

    def _exchange(self, data: bytes, terminator: bytes) -> bytes:
        channel = self._channel
        channel.send(data)
        output = self._output
        search_start = 0
        while (position := output.find(terminator, search_start)) < 0:
            search_start = max(0, len(output) - len(terminator) + 1)
            new_output = channel.read()
            if new_output is None:
                raise EOFError('its output has ended')
            output += new_output[0]
            self.stderr = (self.stderr + new_output[1])[-TAIL_BYTES:]
        answer = bytes(output[: position + len(terminator)])
        del output[: len(answer)]
        self.is_in_step = not output.strip()
        return answer
