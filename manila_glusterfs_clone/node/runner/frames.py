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
"""The lines that the runner and the driver exchange; used by both sides."""

import json
import re
from typing import Any, Dict, Iterator, Optional

#: The maximum sizes of a request and of an answer, in bytes.
LONGEST_REQUEST, LONGEST_ANSWER = 1 << 20, 1 << 27
#: If an output is too long, keep this many bytes of its head and of its tail.
EXCERPT = 1 << 14

_HEADER = re.compile(rb'@([0-9a-f]{32}) (0|[1-9][0-9]{0,9}) ')
_LONGEST_HEADER = 45


class Broken(Exception):
    """The received data is not a frame."""


def frame(nonce: str, content: Dict[str, Any]) -> bytes:
    """Return a frame."""
    text = json.dumps(content, separators=(',', ':'))
    return f'@{nonce} {len(text)} {text}\n'.encode('ascii')


class Output:
    """An output; if it is long, only its head and its tail."""

    def __init__(self, most: int) -> None:
        self.total = 0
        self._most = most
        self._head = bytearray()
        self._tail = bytearray()

    def add(self, data: bytes) -> None:
        """Append a part of the output."""
        room = self._most - len(self._head)
        self._head += data[:room]
        self._tail = (self._tail + data[room:])[-EXCERPT:]
        self.total += len(data)

    @property
    def is_cut(self) -> bool:
        """Return whether a part of the output was dropped."""
        return self.total > self._most

    def text(self) -> str:
        """Return the output, with a note in place of the dropped part."""
        if not self.is_cut:
            return self._head.decode('utf-8', 'replace')
        head, tail = self._head[:EXCERPT], self._tail
        if len(tail) < EXCERPT:
            tail = (self._head[len(head) :] + tail)[-EXCERPT:]
        cut = self.total - len(head) - len(tail)
        return (
            f'{head.decode("utf-8", "replace")}\n[{cut} bytes cut out]\n'
            f'{tail.decode("utf-8", "replace")}'
        )


class Frames:
    """Finds the frames in a stream of bytes.

    :param nonce: the nonce of the connection; None on the side of the runner.
        The runner takes the nonce from the first frame, and allows no noise
        (data outside of frames) before this frame.
    """

    def __init__(self, nonce: Optional[str] = None) -> None:
        self.nonce = nonce
        self._noise = Output(2 * EXCERPT)
        self._longest = LONGEST_REQUEST if nonce is None else LONGEST_ANSWER
        self._has_begun = nonce is None
        self._pending = bytearray()

    @property
    def is_whole(self) -> bool:
        """Return whether all received frames are complete."""
        return not self._has_begun or not self._pending

    def noise(self) -> str:
        """Return the data that was received before the first frame."""
        rest = b'' if self._has_begun else bytes(self._pending)
        return self._noise.text() + rest.decode('utf-8', 'replace')

    def feed(self, data: bytes) -> Iterator[Dict[str, Any]]:
        """Yield the contents of the frames that are complete now.

        :raises Broken: other data was received; no more frames can be read.
        """
        self._pending += data
        if not self._has_begun:
            self._skip_noise()
        while self._has_begun:
            text = self._next()
            if text is None:
                return
            try:
                content = json.loads(text.decode('ascii'))
            except (ValueError, RecursionError) as error:
                raise Broken(f'not JSON: {error}') from error
            if not isinstance(content, dict):
                raise Broken(f'not an object: {text[:200]!r}')
            yield content

    def _skip_noise(self) -> None:
        mark = f'@{self.nonce} '.encode()
        at = self._pending.find(mark)
        self._has_begun = at >= 0
        if not self._has_begun:
            # The data may end with a part of the mark.
            at = max(0, len(self._pending) - len(mark) + 1)
        self._noise.add(bytes(self._pending[:at]))
        del self._pending[:at]

    def _next(self) -> Optional[bytes]:
        header = _HEADER.match(self._pending)
        if header is None:
            if len(self._pending) >= _LONGEST_HEADER or (
                b'\n' in self._pending
            ):
                raise Broken(f'not a frame: {bytes(self._pending[:200])!r}')
            return None
        nonce, length = header[1].decode(), int(header[2])
        if nonce != (self.nonce or nonce):
            raise Broken('a frame of another connection')
        if length > self._longest:
            raise Broken(f'a frame of {length} bytes')
        end = header.end() + length
        if len(self._pending) <= end:
            return None
        text = bytes(self._pending[header.end() : end])
        if self._pending[end] != ord('\n'):
            raise Broken(f'a frame without its end: {text[-200:]!r}')
        self.nonce = nonce
        del self._pending[: end + 1]
        return text
