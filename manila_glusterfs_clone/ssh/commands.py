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
"""Run steps on a node over SSH, and return a :class:`Result` for each.

The runner (:mod:`manila_glusterfs_clone.node.runner`) carries out the steps on
the node. The driver starts the runner on one channel of one SSH connection,
and uses it for all steps. A step has one of these outcomes:

* *done*: the program ended with status 0.
* *refused*: the step was not sent (``Unreachable``, ``Occupied``), or the
  runner or the program refused it.
* *unknown*, ``LinkLost``: the step was sent, but not answered; or a signal
  killed the program.
* *unknown*, ``TimedOut``: the runner killed the program at the time limit, or
  the driver received no answer in time.
"""

from collections.abc import Sequence
import os
import shlex
import threading
import time

from oslo_log import log as logging

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone.ssh import channels
from manila_glusterfs_clone.ssh import connector
from manila_glusterfs_clone.ssh import greetings
from manila_glusterfs_clone.ssh import runner_client
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.ssh import transports

LOG = logging.getLogger(__name__)

#: Seconds that the driver waits for an answer after the time limit of a step.
MARGIN_SECONDS = runner_client.MARGIN_SECONDS
#: If the runner has sent nothing for this many seconds, check that it answers
#: before sending the next step.
_FRESH_SECONDS = 5.0
#: The number of requests that may run on a node at a time. The runner refuses
#: more than 32.
_MAX_REQUESTS = 24

Address = transports.Address
Credentials = transports.Credentials
Step = step_outcomes.Step
Result = step_outcomes.Result


class _Process:
    """The connections of one process of the operating system to a node."""

    def __init__(self, connector: connector.Connector) -> None:
        self.connector = connector
        self.slots = threading.BoundedSemaphore(_MAX_REQUESTS)
        #: A thread holds this lock while it connects or checks the connection.
        self.lock = threading.Lock()
        self.connection: runner_client.Connection | None = None
        #: The error of the last attempt to connect, and its monotonic time.
        self.failure: errors.Unreachable | None = None
        self.failed_at = 0.0


class Remote:
    """A node on which to run steps over SSH; many threads may use it.

    If this process has no connection to the node, the next step connects.

    :param sudo: whether to start the runner with sudo.
    :param connect_timeout: seconds for name lookup, connection and login
        together. The same limit applies to opening a channel, and to the start
        of the runner.
    """

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        *,
        sudo: bool = True,
        connect_timeout: float = 15.0,
    ) -> None:
        self.name = address.host
        self._address = address
        self._credentials = credentials
        self._argv = (
            *(('sudo', '-n') if sudo else ()),
            node_files.RUNNER_PATH,
        )
        self._connect_timeout = connect_timeout
        self._process_by_pid: dict[int, _Process] = {}

    def run(self, step: Step, *, timeout: float = 60.0) -> Result:
        """Run one step to its end; see :meth:`run_all`."""
        return self.run_all([step], timeout=timeout)[0]

    def run_all(
        self, the_steps: Sequence[Step], *, timeout: float = 60.0
    ) -> list[Result]:
        """Run steps one after the other, in one request.

        :param timeout: seconds for each step without a time limit of its
            own, including the wait for a connection.
        :raises Unreachable, Occupied: nothing was started.
        :raises CommandFailed, NotAllowed: a step was refused. The steps
            before it are done, and the steps after it were not started.
        :raises TimedOut, LinkLost: a step may have taken effect.
        """
        return step_outcomes.results_of(
            self.outcomes(the_steps, timeout=timeout)
        )

    def outcomes(
        self, the_steps: Sequence[Step], *, timeout: float = 60.0
    ) -> tuple[step_outcomes.Outcome, ...]:
        """Run steps as :meth:`run_all`, and return the outcome of each.

        :raises Unreachable, Occupied: nothing was started.
        """
        start = time.monotonic()
        deadline = start + timeout
        logged = 'error'
        try:
            process = self._process()
            if not process.slots.acquire(timeout=timeout):
                raise errors.Occupied(self.name, the_steps[0].argv)
            try:
                connection = self._connected(process, deadline)
                seconds = max(0.1, deadline - time.monotonic())
                outcomes = connection.outcomes(the_steps, seconds)
            finally:
                process.slots.release()
            logged = ', '.join(map(_describe, outcomes))
            return outcomes
        except errors.Error as error:
            logged = _describe(error)
            raise
        finally:
            LOG.debug(
                '%s: %s: %s, %.3f s',
                self.name,
                '; '.join(shlex.join(step.argv) for step in the_steps),
                logged,
                time.monotonic() - start,
            )

    def greet(self) -> greetings.Greeting:
        """Return what the runner reports about itself.

        :raises Unreachable: the node cannot be reached, or the runner does
            not start there.
        """
        deadline = time.monotonic() + self._connect_timeout
        connection = self._connected(self._process(), deadline)
        return connection.greet(self._connect_timeout)

    def close(self) -> None:
        """Disconnect; the outcome of running steps is then *unknown*."""
        process = self._process()
        connection = process.connection
        if connection is not None:
            connection.close()
        process.connector.close()

    def _connected(
        self, process: _Process, deadline: float
    ) -> runner_client.Connection:
        """Return a connection to the runner that is up, or was a moment ago.

        If an attempt to connect fails, all threads that wait for this attempt
        raise its error.

        :raises Unreachable: nothing was started.
        """
        arrived_at = time.monotonic()
        if not process.lock.acquire(timeout=max(0.0, deadline - arrived_at)):
            raise errors.Unreachable(self.name, 'no connection in time')
        try:
            failure = process.failure
            if failure is not None and process.failed_at >= arrived_at:
                raise type(failure)(*failure.args)
            process.failure = None
            connection = process.connection
            if connection is not None and self._is_fresh(connection):
                return connection
            process.connection = None
            try:
                process.connection = self._start_runner(process, deadline)
            except errors.Unreachable as error:
                process.failure, process.failed_at = error, time.monotonic()
                raise
            return process.connection
        finally:
            process.lock.release()

    def _is_fresh(self, connection: runner_client.Connection) -> bool:
        """Return whether the runner answers, or answered a moment ago."""
        if not connection.is_alive:
            return False
        if time.monotonic() - connection.heard_at < _FRESH_SECONDS:
            return True
        try:
            connection.greet(self._connect_timeout)
        except errors.Error as error:
            LOG.info('%s: connection lost: %s', self.name, error)
            return False
        return True

    def _start_runner(
        self, process: _Process, deadline: float
    ) -> runner_client.Connection:
        """Connect, and start the runner.

        :raises Unreachable: nothing was started.
        """
        channel = self._open_channel(process.connector, deadline)
        try:
            channel.set_time_limit(self._connect_timeout)
            channel.start(shlex.join(self._argv))
            channel.clear_time_limit()
        except errors.LinkLost as error:
            channel.close()
            raise errors.Unreachable(self.name, error.reason) from error
        except BaseException:
            channel.close()
            raise
        connection = runner_client.Connection(
            self.name, runner_client.ChannelStream(channel)
        )
        connection.greet(self._connect_timeout)
        return connection

    def _open_channel(
        self, connector: connector.Connector, deadline: float
    ) -> channels.Channel:
        start = time.monotonic()
        reason = ''
        # If the connection is dead, try once more on a new connection. This
        # is safe, because opening a channel starts no command.
        for _ in range(2):
            connection = connector.connect(deadline)
            watchdog = channels.Watchdog(
                connection, start, deadline - start + MARGIN_SECONDS
            )
            is_opened = False
            try:
                watchdog.start()
                seconds_left = deadline - time.monotonic()
                channel = connection.transport.open_session(
                    timeout=max(0.0, min(self._connect_timeout, seconds_left))
                )
                is_opened = True
                return channels.Channel(
                    self.name, self._argv, connection, channel, watchdog
                )
            except channels.CONNECTION_ERRORS as error:
                reason = f'no channel was opened: {transports.describe(error)}'
            finally:
                if not is_opened:
                    watchdog.stop()
                    connection.close()
        raise errors.Unreachable(self.name, reason)

    def _process(self) -> _Process:
        # Use no lock: a lock that another thread holds during a fork is never
        # released in the child process.
        pid = os.getpid()
        process = self._process_by_pid.get(pid)
        if process is None:
            new_process = _Process(
                connector.Connector(
                    self._address, self._credentials, self._connect_timeout
                )
            )
            process = self._process_by_pid.setdefault(pid, new_process)
            for other_pid in [*self._process_by_pid]:
                if other_pid != pid:
                    parent = self._process_by_pid.pop(other_pid, None)
                    if parent is not None:
                        parent.connector.abandon()
        return process


def _describe(outcome: step_outcomes.Outcome) -> str:
    return 'done' if isinstance(outcome, Result) else type(outcome).__name__
