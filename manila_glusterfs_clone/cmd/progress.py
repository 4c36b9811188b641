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
"""Show what a command is doing, on a terminal."""

from collections.abc import Iterator
import contextlib
import threading
from typing import TextIO

_CLEAR = '\r\033[K'
_MARKS = '|/-\\'
_PAUSE_SECONDS = 0.2


@contextlib.contextmanager
def shown(text: str, stream: TextIO) -> Iterator[None]:
    """Show a text and a moving mark during the body, and then clear it.

    Write nothing unless the stream is a terminal.

    :param stream: stderr, so that the output of the command stays clean.
    """
    if not stream.isatty():
        yield
        return
    has_ended = threading.Event()

    def run() -> None:
        step = 0
        while True:
            stream.write(f'{_CLEAR}{_MARKS[step % len(_MARKS)]} {text} …')
            stream.flush()
            step += 1
            if has_ended.wait(_PAUSE_SECONDS):
                break

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()
        stream.write(_CLEAR)
        stream.flush()
