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
"""The log of a soak: operations, faults, and violations."""

import collections
from collections.abc import Iterator
import contextlib
import dataclasses
import math
import pathlib
import threading
import time

#: Seconds after the end of a fault in which it may still be felt: a client
#: connects again, a back end looks at its nodes anew.
AFTERMATH = 60.0


@dataclasses.dataclass
class Fault:
    """A fault, and when it was there, in seconds since the epoch."""

    kind: str
    #: The node; '' if it was the service.
    where: str
    begun: float
    ended: float = math.inf

    def __str__(self) -> str:
        return f'{self.kind} {self.where}'.strip()


class Ledger:
    """What happened; several threads write to it.

    :param path: of the log.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.faults: list[Fault] = []
        self.wrong: list[str] = []
        #: How often an operation ended in a way.
        self.counts: collections.Counter[tuple[str, str]] = (
            collections.Counter()
        )
        self._file = path.open('w')
        self._lock = threading.Lock()
        self._begun = time.time()

    def note(self, who: str, what: str, outcome: str = '') -> None:
        """Log one line: when, who, what, and what came of it."""
        now = time.time()
        line = (
            f'{time.strftime("%H:%M:%S", time.localtime(now))} '
            f'{now - self._begun:7.1f} {who:<10} {what}'
        )
        if outcome:
            line += f': {outcome}'
        with self._lock:
            self._file.write(line + '\n')
            self._file.flush()
            print(line, flush=True)

    def violation(self, who: str, text: str) -> None:
        """Note something that must not be."""
        self.wrong.append(f'{who}: {text}')
        self.note(who, 'WRONG', text)

    @contextlib.contextmanager
    def fault(self, kind: str, where: str = '') -> Iterator[None]:
        """Note a fault for as long as it is there, and is being mended."""
        made = Fault(kind, where, time.time())
        self.faults.append(made)
        self.note('storm', str(made), 'begins')
        try:
            yield
        finally:
            made.ended = time.time()
            took = made.ended - made.begun
            self.note('storm', str(made), f'is mended after {took:.0f} s')

    def during(
        self, begun: float, ended: float, *, nodes_only: bool = False
    ) -> list[Fault]:
        """Return the faults that may be felt in a time."""
        return [
            fault
            for fault in self.faults
            if fault.begun <= ended + 1
            and begun <= fault.ended + AFTERMATH
            and (fault.where or not nodes_only)
        ]

    def summary(self) -> str:
        """Return what came of how many operations, and what is wrong."""
        lines = ['operation, outcome, count:']
        for (what, outcome), count in sorted(self.counts.items()):
            lines.append(f'  {what:<18} {outcome:<40} {count}')
        lines.append('faults:')
        kinds = collections.Counter(fault.kind for fault in self.faults)
        lines += [f'  {kind:<18} {n}' for kind, n in sorted(kinds.items())]
        lines.append(f'{len(self.wrong)} things are wrong')
        lines += [f'  {each}' for each in self.wrong]
        return '\n'.join(lines)

    def close(self) -> None:
        self._file.close()
