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
"""List the peers of a node in the request of another command.

A node that is disconnected from most peers can have old data. So the driver
checks the peers before it uses the answer to the other command.
"""

from collections.abc import Sequence

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools.gluster import console

#: The command that lists the peers.
_PEERS = ('pool', 'list')


class PeersFirst(console.Console):
    """A console that runs ``pool list`` with its first command.

    One request runs both commands, ``pool list`` first.

    :param timeout: seconds for ``pool list``, including the wait for a
        connection.
    """

    def __init__(self, other: console.Console, timeout: float) -> None:
        self.name = other.name
        self._runner = other._runner
        self._write_slots = other._write_slots
        self._read_slots = other._read_slots
        self._timeout = timeout
        self._peers: step_outcomes.Outcome | None = None

    def peers(self) -> console.Answer:
        """Return the answer to ``pool list``, or raise its error.

        Call this after the first command.
        """
        if self._peers is None:
            return self.run(*_PEERS, timeout=self._timeout, is_read=True)
        return self._check(
            _PEERS, self._parse(_PEERS, self._text(self._peers))
        )

    def _run_all(
        self,
        commands: Sequence[Sequence[str]],
        deadline: float,
        is_read: bool,
    ) -> list[step_outcomes.Result]:
        if isinstance(self._peers, step_outcomes.Result):
            return super()._run_all(commands, deadline, is_read)
        wants_peers = tuple(commands[0]) == _PEERS
        others = commands[1:] if wants_peers else commands
        try:
            with self._slot(commands[0], deadline, is_read) as seconds_left:
                timeout = min(self._timeout, seconds_left)
                first = console.step(_PEERS, timeout)
                more = [console.step(words, seconds_left) for words in others]
                outcomes = self._runner.outcomes(
                    [first, *more], timeout=timeout
                )
        except errors.Error as error:
            self._peers = error
            raise
        self._peers = outcomes[0]
        results = step_outcomes.results_of(outcomes)
        return results if wants_peers else results[1:]
