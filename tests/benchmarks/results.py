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
"""The results of one case: seconds, and ratios of seconds of one round."""

from collections.abc import Mapping, Sequence
import dataclasses
import json
import pathlib
import statistics


@dataclasses.dataclass(frozen=True)
class Spread:
    """The smallest, the middle and the largest of some numbers."""

    smallest: float
    median: float
    largest: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> 'Spread':
        return cls(min(numbers), statistics.median(numbers), max(numbers))

    def __str__(self) -> str:
        return f'{self.smallest:.2f} / {self.median:.2f} / {self.largest:.2f}'


@dataclasses.dataclass(frozen=True)
class Result:
    """What one case took.

    :param machine: where it ran: date, versions, number of CPUs.
    :param rounds: per round, seconds by figure.
    :param ratios: pairs of figures.
    """

    case: str
    release: str
    machine: Mapping[str, str]
    rounds: Sequence[Mapping[str, float]]
    ratios: Sequence[tuple[str, str]]

    def seconds(self) -> dict[str, Spread]:
        """Return the seconds of each figure."""
        return {
            figure: Spread.of([each[figure] for each in self.rounds])
            for figure in self.rounds[0]
        }

    def quotients(self) -> dict[tuple[str, str], Spread]:
        """Return the ratios, each of two figures of the same round."""
        return {
            (top, bottom): Spread.of(
                [each[top] / each[bottom] for each in self.rounds]
            )
            for top, bottom in self.ratios
        }

    def save(self, directory: pathlib.Path) -> pathlib.Path:
        """Write the result to a file in a directory; return its path."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f'{self.case}-{self.release}.json'
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + '\n')
        return path

    @classmethod
    def load(cls, path: pathlib.Path) -> 'Result':
        """Read a result that :meth:`save` wrote."""
        values = json.loads(path.read_text())
        values['ratios'] = [(top, bottom) for top, bottom in values['ratios']]
        return cls(**values)

    def __str__(self) -> str:
        lines = [f'{self.case}, GlusterFS {self.release}:']
        for figure, spread in self.seconds().items():
            lines.append(f'  {figure:<36} {spread} s')
        for (top, bottom), spread in self.quotients().items():
            lines.append(f'  {top} / {bottom}: {spread}')
        return '\n'.join(lines)
