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
"""Refusals of glusterd: a named entry for each reason that the driver knows.

An XML answer has a number, ``opErrno``, and a text, ``opErrstr``. glusterd
uses some numbers for one reason only. Other reasons share 30800 (internal
error), 22 (EINVAL) or 0, and one reason has several numbers, so that only the
text tells them apart. An entry has the numbers that are its own and a pattern
for the text. No other room looks at the texts of glusterd.

Observed on GlusterFS 10.3 and 11.1; see ``tests/golden``.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import re

from manila_glusterfs_clone import errors


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A reason for which glusterd refuses a command."""

    #: Searched for in ``opErrstr``.
    pattern: re.Pattern[str]
    #: Values of ``opErrno`` that stand for this reason only.
    errnos: frozenset[int] = frozenset()
    #: The class of the error that is raised.
    error: type[errors.GlusterRefused] = errors.GlusterRefused

    def matches(self, errno: int, message: str) -> bool:
        """Return whether an answer gives this reason."""
        return errno in self.errnos or bool(self.pattern.search(message))


#: Another transaction holds the lock in glusterd (EG_ANOTRANS).
BUSY = Refusal(
    re.compile(
        r'Another transaction (is|could be) in progress|^Locking failed on '
    ),
    frozenset({30802}),
    errors.Busy,
)
#: The name is in use (EG_VOLEXST, EG_SNAPEXST).
ALREADY_EXISTS = Refusal(
    re.compile(
        r'^(Volume \S+ already exists$|Volume with name:\S+ already exists'
        r'|Snapshot \S+ already exists)'
    ),
    frozenset({30811, 30812}),
    errors.AlreadyExists,
)
#: No volume or snapshot has the name (EG_NOVOL, EG_NOSNAP).
NOT_FOUND = Refusal(
    re.compile(
        r'^(Volume (\S+ )?does not exist$|Snapshot \(\S+\) does not exist'
        r'|Volume \(\S+\) does not exist|Failed to find :\S+ snap)'
    ),
    frozenset({30806, 30807}),
    errors.NotFound,
)

#: ``volume start`` of a started volume, or ``volume profile start`` where
#: profiling is on. opErrno is 30800.
ALREADY_STARTED = Refusal(re.compile('already started'))
#: ``volume profile stop`` where profiling is off. opErrno is 30800.
NOT_STARTED = Refusal(re.compile('is not started'))
#: ``volume stop`` of a stopped volume.
NOT_IN_STARTED_STATE = Refusal(re.compile('is not in the started state'))
#: ``snapshot activate`` of an active snapshot. opErrno is 22.
ALREADY_ACTIVATED = Refusal(re.compile('is already activated'))
#: ``snapshot deactivate`` of an inactive snapshot. opErrno is 22.
ALREADY_DEACTIVATED = Refusal(re.compile('is already deactivated'))

#: The reasons that have an error class of their own, the first match counts.
_CLASSIFIED = (BUSY, ALREADY_EXISTS, NOT_FOUND)

#: Failures after glusterd began to change something: the result is unknown.
#: "Staging failed" with a reason after it is a plain refusal; without one, a
#: peer has left. The barrier holds back the writes of clients during a
#: snapshot. When a node loses power then, the other bricks keep the barrier
#: until the next snapshot is refused for it, or for two minutes (10.3).
_PARTIALLY_DONE = re.compile(
    r'^(Commit|Brick ops) failed on |^Post[- ][Vv]alidation failed '
    r'|^Failed to reconfigure barrier|^Staging failed on \S+\. Please check'
)


def is_partially_done(message: str) -> bool:
    """Return whether glusterd failed after it began to change something."""
    return bool(_PARTIALLY_DONE.search(message))


def error_class(errno: int, message: str) -> type[errors.GlusterRefused]:
    """Return the class of the error for a refusal."""
    for refusal in _CLASSIFIED:
        if refusal.matches(errno, message):
            return refusal.error
    return errors.GlusterRefused


@contextlib.contextmanager
def suppress(*refusals: Refusal) -> Iterator[None]:
    """Suppress these refusals: the state is already the wanted one."""
    try:
        yield
    except errors.GlusterRefused as error:
        if not any(
            refusal.matches(error.errno, error.message) for refusal in refusals
        ):
            raise
