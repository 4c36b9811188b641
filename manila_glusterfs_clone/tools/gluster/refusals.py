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
"""The reasons why glusterd refuses commands.

The XML answer to a refused command has a number, ``opErrno``, and a text,
``opErrstr``. Some numbers stand for one reason. Others stand for many reasons:
30800 (internal error), 22 (EINVAL) and 0. So each :class:`Refusal` has a
pattern for the text, and only some have numbers. Only this module reads the
texts of glusterd.

Observed on GlusterFS 10.3 and 11.1; see ``tests/golden``.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import re

from manila_glusterfs_clone import errors

#: Separates the answer of glusterd from the errors in its log.
LOGGED = '; glusterd logged: '


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A reason why glusterd refuses a command."""

    #: The pattern to search for in ``opErrstr``.
    pattern: re.Pattern[str]
    #: The values of ``opErrno`` that stand for this reason only.
    errnos: frozenset[int] = frozenset()
    #: The class of the error to raise.
    error_class: type[errors.GlusterRefused] = errors.GlusterRefused

    def matches(self, errno: int, message: str) -> bool:
        """Return whether an ``opErrno`` or ``opErrstr`` means this reason."""
        answer = message.partition(LOGGED)[0]
        return errno in self.errnos or bool(self.pattern.search(answer))


#: Another transaction holds the lock in glusterd (EG_ANOTRANS).
BUSY = Refusal(
    re.compile(
        r'Another transaction (is|could be) in progress|^Locking failed on '
    ),
    frozenset({30802}),
    errors.Busy,
)
#: The volume or snapshot to create exists already (EG_VOLEXST, EG_SNAPEXST).
ALREADY_EXISTS = Refusal(
    re.compile(
        r'^(Volume \S+ already exists$|Volume with name:\S+ already exists'
        r'|Snapshot \S+ already exists)'
    ),
    frozenset({30811, 30812}),
    errors.AlreadyExists,
)
#: The requested volume or snapshot does not exist (EG_NOVOL, EG_NOSNAP).
NOT_FOUND = Refusal(
    re.compile(
        r'^(Volume (\S+ )?does not exist$|Snapshot \(\S+\) does not exist'
        r'|Volume \(\S+\) does not exist|Failed to find :\S+ snap)'
    ),
    frozenset({30806, 30807}),
    errors.NotFound,
)

#: Refusal of ``volume start`` if the volume is started, or of ``volume
#: profile start`` if profiling is on. opErrno is 30800.
ALREADY_STARTED = Refusal(re.compile('already started'))
#: Refusal of ``volume profile stop`` if profiling is off. opErrno is 30800.
NOT_STARTED = Refusal(re.compile('is not started'))
#: Refusal of ``volume stop`` if the volume is stopped.
NOT_IN_STARTED_STATE = Refusal(re.compile('is not in the started state'))
#: Refusal of ``snapshot activate`` if the snapshot is active. opErrno is 22.
ALREADY_ACTIVATED = Refusal(re.compile('is already activated'))
#: Refusal of ``snapshot deactivate`` if the snapshot is inactive. opErrno is
#: 22.
ALREADY_DEACTIVATED = Refusal(re.compile('is already deactivated'))

#: The reasons that have their own error class, in the order of the search.
_CLASSIFIED_REFUSALS = (BUSY, ALREADY_EXISTS, NOT_FOUND)

#: The texts of failures with an unknown outcome: glusterd may have begun the
#: change.
#:
#: "Staging failed on PEER. Please check": the peer has disconnected. If a
#: reason follows instead of "Please check", the peer refused the command.
#:
#: "Failed to reconfigure barrier": a barrier blocks the writes of clients
#: while glusterd takes a snapshot. If a node loses power during that time, the
#: bricks on the other nodes keep the barrier. The barrier ends after two
#: minutes, or earlier if it makes another snapshot fail (10.3).
_PARTIALLY_DONE = re.compile(
    r'^(Commit|Brick ops) failed on |^Post[- ][Vv]alidation failed '
    r'|^Failed to reconfigure barrier|^Staging failed on \S+\. Please check'
)


def is_partially_done(message: str) -> bool:
    """Return whether a failed command may have changed something.

    :param message: the ``opErrstr`` of the answer.
    """
    return bool(_PARTIALLY_DONE.search(message))


def error_class(errno: int, message: str) -> type[errors.GlusterRefused]:
    """Return the class of the error for an ``opErrno`` and ``opErrstr``."""
    for refusal in _CLASSIFIED_REFUSALS:
        if refusal.matches(errno, message):
            return refusal.error_class
    return errors.GlusterRefused


@contextlib.contextmanager
def suppress(*refusals: Refusal) -> Iterator[None]:
    """Ignore these refusals: the object already has the requested state."""
    try:
        yield
    except errors.GlusterRefused as error:
        if not any(
            refusal.matches(error.errno, error.message) for refusal in refusals
        ):
            raise
