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
"""Values in tables: short for people, exact for programs."""

import datetime
import sys
from typing import Any

from cliff import columns

_RESET = '\033[0m'
RED, YELLOW, GREEN = '\033[31m', '\033[33m', '\033[32m'

_UNITS = ('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')


def has_colours() -> bool:
    """Return whether the output goes to a terminal."""
    return sys.stdout.isatty()


class Coloured(columns.FormattableColumn[Any]):
    """A text with a colour on a terminal."""

    def __init__(self, value: Any, colour: str = '') -> None:
        super().__init__(value)
        self._colour = colour

    def human_readable(self) -> str:
        if self._colour and has_colours():
            return f'{self._colour}{self._value}{_RESET}'
        return str(self._value)


class Size(columns.FormattableColumn[int]):
    """A number of bytes."""

    def human_readable(self) -> str:
        value = float(self._value)
        for unit in _UNITS[:-1]:
            if value < 1024:
                return f'{value:.{0 if unit == "B" else 1}f} {unit}'
            value /= 1024
        return f'{value:.1f} {_UNITS[-1]}'


class Percent(columns.FormattableColumn[float]):
    """A percentage; red if it is at least as high as a limit.

    :param limit: the limit; None for no limit.
    """

    def __init__(self, value: float, limit: float | None = None) -> None:
        super().__init__(value)
        self._limit = limit

    def human_readable(self) -> str:
        text = f'{self._value:.1f} %'
        if self._limit is not None and self._value >= self._limit:
            return Coloured(text, RED).human_readable()
        return text


class Lines(columns.FormattableColumn[list[str]]):
    """Several texts, each on a line of its own."""

    def human_readable(self) -> str:
        return '\n'.join(self._value)


class Time(columns.FormattableColumn[str | None]):
    """A time in UTC.

    :param moment: the time; None for never.
    """

    def __init__(self, moment: datetime.datetime | None) -> None:
        super().__init__(
            moment.isoformat(timespec='seconds') if moment else None
        )
        self._moment = moment

    def human_readable(self) -> str:
        if self._moment is None:
            return 'never'
        return f'{self._moment:%Y-%m-%d %H:%M:%S} UTC'
