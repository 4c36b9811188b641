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
"""The gluster command line of one node: words in, one XML answer out.

Starting a ``gluster`` process takes about a second, nearly all of it the
process itself; a command given to one that runs takes milliseconds. So
commands go to long-lived ``gluster --mode=script --xml`` processes, a few
per node, one command at a time each.

What was seen of them on GlusterFS 10.3 and 11.1, and how it is dealt with:

* A line of 1,024 bytes or more is cut, and its tail run as a command. So a
  long command gets a process of its own.
* While glusterd is down a command waits, and is carried out when glusterd
  is back: answers then come one behind. So a console that did not answer
  in time is never asked again.
* ``volume heal … info`` is printed by another program, through a buffer
  that a console does not empty before it ends. So it gets a process too.
* glusterd is waited for 120 s, then ``Error : Request timed out`` is
  printed; the transaction may still be going on. That is *unknown*, and
  our own deadline is longer, so that no command of ours is still under way
  when it has passed.
* The exit status says nothing. ``opRet``, ``opErrno`` and ``opErrstr`` in
  the answer do, but one cause has several numbers, so that texts must be
  looked at, here and nowhere else.
"""

import contextlib
import dataclasses
import re
import threading
import time
import typing
from xml.etree import ElementTree

from defusedxml import ElementTree as SafeTree

from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import remote

LOG = log.getLogger(__name__)

_COMMAND = ('gluster', '--mode=script', '--xml')
_END = b'</cliOutput>'
_LONGEST_LINE = 1000  # bytes; CMDBUFSIZ of the CLI is 1024

#: Seconds; the CLI itself gives up after 120.
TIMEOUT = 135.0

#: Places per node for consoles and processes, for writes and for reads: these
#: must not have to wait for slow writes. sshd allows ten sessions for a
#: connection, and LVM and mounts need some, also while glusterd is busy.
_WRITING, _READING = 3, 2

_DOWN = 'Connection failed. Please check if gluster daemon is operational.'
_TIMED_OUT = 'Error : Request timed out'

_BUSY = re.compile(
    r'Another transaction (is|could be) in progress|^Locking failed on '
)
_EXISTS = re.compile(
    r'^(Volume \S+ already exists$|Volume with name:\S+ already exists'
    r'|Snapshot \S+ already exists)'
)
_MISSING = re.compile(
    r'^(Volume (\S+ )?does not exist$|Snapshot \(\S+\) does not exist'
    r'|Volume \(\S+\) does not exist|Failed to find :\S+ snap)'
)
#: Nothing was done where glusterd gives a reason after staging or validation;
#: without one, a peer has left. The barrier holds the writes of clients back
#: during a snapshot. When a node loses power then, the other bricks keep it
#: until it is refused to the next snapshot, or for two minutes (10.3).
_HALF_WAY = re.compile(
    r'^(Commit|Brick ops) failed on |^Post[- ][Vv]alidation failed '
    r'|^Failed to reconfigure barrier|^Staging failed on \S+\. Please check'
)
#: Stands where an answer in words has no document.
_NO_XML = ElementTree.Element('none')
_BUSY_ERRNO = 30802
_EXISTS_ERRNOS = frozenset({30811, 30812})
_MISSING_ERRNOS = frozenset({30806, 30807})


@dataclasses.dataclass(frozen=True)
class Answer:
    """One XML document of the gluster command line."""

    errno: int
    message: str
    succeeded: bool
    root: ElementTree.Element


def parse_answer(text: str) -> Answer:
    """Read one XML document.

    :raises ValueError: it is not one, or not one of gluster's.
    """
    try:
        root = SafeTree.fromstring(text.strip())
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error
    verdict = root.findtext('opRet')
    if root.tag != 'cliOutput' or verdict is None:
        raise ValueError('no opRet in a cliOutput')
    return Answer(
        errno=int(root.findtext('opErrno') or 0),
        message=(root.findtext('opErrstr') or '').strip(),
        succeeded=int(verdict) == 0,
        root=root,
    )


class Console:
    """The gluster command line of one node."""

    def __init__(self, node: circuit_breaker.CommandRunner) -> None:
        self.name = node.name
        self._node = node
        self._writing = threading.BoundedSemaphore(_WRITING)
        self._reading = threading.BoundedSemaphore(_READING)
        self._idle: list[remote.InteractiveProcess] = []
        #: Places in use, by consoles and by processes of their own.
        self._busy = 0
        self._guard = threading.Lock()

    def ask(
        self,
        *words: str,
        timeout: float = TIMEOUT,
        own_process: bool = False,
        read: bool = False,
    ) -> Answer:
        """Have one command carried out.

        :param timeout: seconds, for the wait for a free console, its start
            and the answer together.
        :param read: whether it changes nothing, and so is soon answered.
        :param own_process: whether it cannot be given to a console.
        :raises errors.Busy, errors.AlreadyExists, errors.NotFound,
            errors.GlusterRefused: glusterd said no.
        :raises errors.Unreachable: glusterd does not run on this node, or
            the node was not reached.
        :raises errors.Unknown: the command may have been carried out.
        """
        for word in words:
            if not word or any(c.isspace() or c == '\0' for c in word):
                raise ValueError(f'{word!r} is not one word')
        begun = time.monotonic()
        try:
            until = begun + timeout
            if own_process or len(' '.join(words).encode()) > _LONGEST_LINE:
                said = self._run(words, until)
                answer = self._understand(words, said.stdout or said.stderr)
            else:
                try:
                    answer = self._in_a_console(words, until, read)
                except errors.LinkLost:
                    if not read:
                        raise
                    # The node may have been rebooted since it was asked
                    # last, and nobody told those who wait.
                    answer = self._in_a_console(words, until, read)
            return self._judge(words, answer)
        finally:
            took = time.monotonic() - begun
            LOG.debug('%s: gluster %s: %.3f s', self.name, words, took)

    def tell(self, *words: str, timeout: float = TIMEOUT) -> None:
        """Have one command carried out that answers in words, never in XML.

        :raises errors.GlusterRefused: glusterd said no.
        :raises errors.Unknown: the command may have been carried out.
        """
        result = self._run(words, time.monotonic() + timeout)
        said = (result.stdout + result.stderr).strip()
        if _TIMED_OUT in said:
            raise errors.TimedOut(self.name, ('gluster', *words), 120)
        if result.status:
            # The last line has the reason, in the words that XML has it in.
            reason = said.rpartition('\n')[2]
            self._judge(words, Answer(0, reason, False, _NO_XML))

    def close(self) -> None:
        """End the processes that wait for commands."""
        with self._guard:
            idle, self._idle = self._idle, []
        for conversation in idle:
            conversation.close()

    def _run(self, words: typing.Sequence[str], until: float) -> remote.Result:
        with self._place(words, until, read=False) as left:
            self._make_room()
            result = self._node.run(
                [*_COMMAND, *words], timeout=left, accept=(0, 1)
            )
        said = result.stdout or result.stderr
        if _DOWN in said:
            # glusterd may have ended while it was at work: such a process
            # says the same then (cli_rpc_notify in cli/src/cli.c).
            raise errors.LinkLost(
                result.node, result.argv, 'glusterd does not run there', said
            )
        return result

    def _in_a_console(
        self, words: typing.Sequence[str], until: float, read: bool
    ) -> Answer:
        with self._place(words, until, read) as left:
            conversation = self._take(left)
            kept = False
            try:
                raw = conversation.ask(
                    ' '.join(words),
                    until=_END,
                    timeout=self._left(words, until),
                )
                answer = self._understand(words, raw.decode(errors='replace'))
                # Out of step, or not understood: the next answer might be
                # that to another command, or the rest of this one.
                kept = conversation.in_step
                return answer
            except errors.LinkLost as error:
                # A console ends after it has said what is wrong in words.
                return self._understand(words, self._last_words(error, words))
            finally:
                if kept:
                    with self._guard:
                        self._idle.append(conversation)
                else:
                    conversation.close()

    @contextlib.contextmanager
    def _place(
        self, words: typing.Sequence[str], until: float, read: bool
    ) -> typing.Iterator[float]:
        """Wait for a place on the node; give the seconds that are left.

        :raises errors.Occupied: none is free in time.
        """
        places = self._reading if read else self._writing
        if not places.acquire(timeout=max(0.0, until - time.monotonic())):
            raise errors.Occupied(self.name, ('gluster', *words))
        try:
            with self._guard:
                self._busy += 1
            yield self._left(words, until)
        finally:
            with self._guard:
                self._busy -= 1
            places.release()

    def _left(self, words: typing.Sequence[str], until: float) -> float:
        """Return the seconds that are left, enough to be answered.

        :raises errors.Occupied: there are none.
        """
        left = until - time.monotonic()
        if left <= 0:
            raise errors.Occupied(self.name, ('gluster', *words))
        return left

    def _make_room(self) -> None:
        """End an idle console where a process would be one too many.

        The other tools of the node share the connection's sessions.
        """
        with self._guard:
            if self._busy + len(self._idle) <= _WRITING + _READING:
                return
            spare = self._idle.pop() if self._idle else None
        if spare is not None:
            spare.close()

    def _take(self, timeout: float) -> remote.InteractiveProcess:
        while True:
            with self._guard:
                conversation = self._idle.pop() if self._idle else None
            if conversation is None:
                return self._node.open(_COMMAND, timeout=timeout)
            if conversation.alive:
                return conversation
            conversation.close()

    def _last_words(
        self, error: errors.LinkLost, words: typing.Sequence[str]
    ) -> str:
        for known in (_DOWN, _TIMED_OUT):
            if known in error.partial:
                return known
        raise errors.LinkLost(
            self._node.name,
            (*_COMMAND, *words),
            error.reason,
            partial=error.partial,
        ) from error

    def _understand(self, words: typing.Sequence[str], text: str) -> Answer:
        argv = ('gluster', *words)
        if _DOWN in text:
            raise errors.Unreachable(
                self._node.name, 'glusterd does not run there'
            )
        if _TIMED_OUT in text:
            raise errors.TimedOut(self._node.name, argv, 120)
        try:
            return parse_answer(text)
        except ValueError as error:
            raise errors.Garbled(self._node.name, argv, text) from error

    def _judge(self, words: typing.Sequence[str], answer: Answer) -> Answer:
        argv = ('gluster', *words)
        if answer.succeeded:
            return answer
        if _HALF_WAY.search(answer.message):
            raise errors.CommitFailed(self._node.name, argv, answer.message)
        kind = _kind(answer)
        raise kind(self._node.name, argv, answer.errno, answer.message)


def _kind(answer: Answer) -> type[errors.GlusterRefused]:
    if answer.errno == _BUSY_ERRNO or _BUSY.search(answer.message):
        return errors.Busy
    if answer.errno in _EXISTS_ERRNOS or _EXISTS.search(answer.message):
        return errors.AlreadyExists
    if answer.errno in _MISSING_ERRNOS or _MISSING.search(answer.message):
        return errors.NotFound
    return errors.GlusterRefused


@contextlib.contextmanager
def already(*phrases: str) -> typing.Iterator[None]:
    """Take a refusal that says that it is so already for success."""
    try:
        yield
    except errors.GlusterRefused as error:
        if not any(phrase in error.message for phrase in phrases):
            raise
