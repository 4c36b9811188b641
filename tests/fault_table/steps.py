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
"""Name remote steps: short, and the same in each run."""

from collections.abc import Sequence
import re

_UUID = r'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
_STABLE = (
    (re.compile(rf'(manila-snap-|manila\.snapshot=){_UUID}'), r'\1SNAPSHOT'),
    (re.compile(rf'(manila-|manila\.share=){_UUID}'), r'\1SHARE'),
    (re.compile(_UUID), 'ID'),
    (re.compile(r'(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])'), 'HEX'),
)

#: Words before the command of gluster.
_OPTIONS = ('--mode=script', '--xml', '--')
#: Options that say what a command does.
_TELLING = frozenset({'--addtag', '--deltag'})
#: What follows the name of a volume and says what is asked of it.
_WORDS = frozenset({'start', 'stop', 'force', 'info', 'clients'})


def stable(text: str) -> str:
    """Replace what differs in each run with fixed words."""
    for pattern, word in _STABLE:
        text = pattern.sub(word, text)
    return text


def name(node: str, argv: Sequence[str], writer: str = 'gl1') -> str:
    """Return the name of a step: its command in a few words, and its node.

    :param argv: as given to the node, without sudo; a command that was
        given to a console of gluster as ``gluster VERB …``.
    :param writer: the node that takes what changes gluster's state; what
        gluster is asked there goes without the name of a node.
    """
    program, *words = argv
    words = [word for word in words if word not in _OPTIONS]
    if program == 'gluster':
        few = [*words[:2], *(w for w in words[3:] if w in _WORDS)]
    else:
        few = [w.partition('=')[0] for w in words]
        few = [word for word in few if word in _TELLING][:1]
    said = ' '.join([program, *few])
    if program == 'gluster' and node == writer:
        return said
    return f'{node}: {said}'
