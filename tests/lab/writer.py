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
"""A program on a client that writes to a share all the time.

It appends a number to a file, syncs it, and records it as confirmed. It
records each error with its time. So a test can check whether the client was
disturbed, and whether a confirmed write is lost.
"""

import dataclasses
import shlex

from tests.lab.client import Client

_PROGRAM = """\
import os, sys, time
at, state, pace = sys.argv[1:]
confirmed = open(f'{state}/confirmed', 'a')
failed = open(f'{state}/failed', 'a')
number, file = 0, None
while not os.path.exists(f'{state}/enough'):
    begun = time.time()
    try:
        if file is None:
            if not os.path.ismount(at):
                raise OSError('it is not mounted')
            file = open(f'{at}/{os.path.basename(state)}', 'ab', 0)
        file.write(b'%d\\n' % number)
        os.fsync(file.fileno())
    except OSError as error:
        failed.write(f'{begun:.1f} {time.time():.1f} {error}\\n')
        failed.flush()
        file = None
    else:
        confirmed.write(f'{number}\\n')
        confirmed.flush()
        number += 1
    time.sleep(float(pace))
"""

_LOST = """\
import sys
at, state, name, first = sys.argv[1:]
confirmed = {int(n) for n in open(f'{state}/confirmed') if n.endswith('\\n')}
with open(f'{at}/{name}') as file:
    there = {int(line) for line in file if line.strip().isdigit()}
confirmed = {n for n in confirmed if n < int(first)}
assert confirmed, 'nothing was confirmed'
print(len(confirmed - there))
"""


@dataclasses.dataclass(frozen=True)
class Failure:
    """A write that ended with an error."""

    #: In seconds since the epoch: when it began, and ended.
    begun: float
    ended: float
    message: str

    def __str__(self) -> str:
        return f'{self.begun:.1f} to {self.ended:.1f}: {self.message}'


class Writer:
    """One such program; it writes to its own file.

    :param at: where the share is mounted.
    :param name: unique on the client and in the share.
    :param pace: seconds between two writes, and after an error.
    """

    def __init__(
        self, client: Client, at: str, name: str, pace: float = 0.2
    ) -> None:
        self.client = client
        self.at = at
        self.pace = pace
        self._name = f'written-by-{name}'
        self._state = f'/run/{self._name}'

    def start(self) -> None:
        """Start to write, and wait until a write is confirmed."""
        state, at = shlex.quote(self._state), shlex.quote(self.at)
        # Else an earlier writer of this name ends this one at once.
        self.client.succeed(f'rm -rf {state}')
        self.client.put(_PROGRAM, f'{self._state}/program')
        self.client.succeed(
            f'setsid -f python3 -IS {state}/program {at} {state} '
            f'{self.pace} '
            f'</dev/null >/dev/null 2>{state}/trouble'
        )
        self.client.wait_until_succeeds(
            f'test -s {state}/confirmed', timeout=60, every=0.2
        )

    def confirmed(self) -> int:
        """Return the number of confirmed writes."""
        return int(self._ask(f'wc -l < {shlex.quote(self._state)}/confirmed'))

    def failures(self) -> list[Failure]:
        """Return the writes that ended with an error."""
        found = []
        text = self._ask(f'cat {shlex.quote(self._state)}/failed')
        for line in text.splitlines():
            begun, ended, message = line.split(maxsplit=2)
            found.append(Failure(float(begun), float(ended), message))
        return found

    def stop(self) -> None:
        """Stop the program if it runs. Its record stays."""
        self.client.succeed(
            f'touch {shlex.quote(self._state)}/enough; '
            f'for n in $(seq 300); do '
            f'pgrep -f {shlex.quote(self._pattern)} >/dev/null || break; '
            f'sleep 0.2; done; '
            f'pkill -9 -f {shlex.quote(self._pattern)} || :; '
            f'cat {shlex.quote(self._state)}/trouble >&2',
            timeout=90,
        )

    def lost(self, at: str | None = None, first: int = 1 << 40) -> int:
        """Return the number of confirmed writes that are not in the share.

        :param at: where the share, or a clone of it, is mounted, if not
            where it was.
        :param first: of how many writes, from the first one on.
        """
        words = shlex.join(
            [at or self.at, self._state, self._name, str(first)]
        )
        said = self._ask(f'python3 -IS - {words} <<"END"\n{_LOST}\nEND\n')
        return int(said)

    @property
    def _pattern(self) -> str:
        # It does not match the shell that looks for it.
        return f'[{self._state[0]}]{self._state[1:]}/program'

    def _ask(self, script: str) -> str:
        return self.client.succeed(script, timeout=90)
