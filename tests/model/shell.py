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
"""Parse the command lines of the model's nodes, and hold their answers."""

from collections.abc import Mapping, Sequence
import dataclasses
import re

_SIZE = re.compile(r'(\d+)([bg])')


@dataclasses.dataclass(frozen=True)
class Answer:
    """How a command ended, and what it printed."""

    stdout: str = ''
    stderr: str = ''
    status: int = 0


def split(argv: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Tell options (``--name=value`` or ``--name``) from operands."""
    options: dict[str, str] = {}
    operands = []
    for word in argv[1:]:
        if word.startswith('--'):
            name, _, value = word.partition('=')
            options[name] = value
        else:
            operands.append(word)
    return options, operands


def values(argv: Sequence[str], option: str) -> list[str]:
    """Give the values of an option that may be there several times."""
    head = f'{option}='
    return [word[len(head) :] for word in argv if word.startswith(head)]


def require(options: Mapping[str, str], name: str, value: str) -> None:
    """Stop a test whose driver uses a tool in a way that is not modelled."""
    assert options.get(name) == value, f'{name} is {options.get(name)!r}'


def size(text: str) -> int:
    """Read a size as LVM writes it, in bytes or GiB."""
    match = _SIZE.fullmatch(text)
    assert match is not None, text
    return int(match[1]) << {'b': 0, 'g': 30}[match[2]]
