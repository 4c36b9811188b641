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
"""Record what maintenance does, for the commands of operators.

Maintenance does not run in the process of a command, and possibly runs on
another host. So this module writes the last pass and the last actions to
Manila's private storage for the driver. Their key is made from the name of the
service. If the records are lost, ``status`` and ``metrics`` show less, but
maintenance does not change.

Each action of maintenance is one line of the log at the level WARNING or
above. The recorder collects these lines.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import datetime
import json
import logging
import threading
import time
from typing import Any
import uuid

from oslo_log import log

LOG = log.getLogger(__name__)

#: How many actions are kept.
MAX_ACTIONS = 20

#: The outcomes of a pass. Done: all steps were done. Failed: a step or the
#: pass failed. Incomplete: the steps that need all nodes were not done,
#: because a node did not answer. Skipped: another pass was running.
DONE, FAILED, INCOMPLETE, SKIPPED = 'done', 'failed', 'incomplete', 'skipped'

#: The two occasions of a record: a pass, and the start of the service.
PASS, START = 'pass', 'start'

_PACKAGE = 'manila_glusterfs_clone'
#: Record the lines of these loggers in every thread, because maintenance works
#: on nodes in other threads. Record the lines of other loggers only in the
#: thread of the pass.
_OWN_LOGGERS = (
    f'{_PACKAGE}.maintenance',
    f'{_PACKAGE}.cluster.bricks',
    f'{_PACKAGE}.cluster.brick_ownership',
)
_LAST = 'glusterfs_clone_last_pass'
_ACTION = 'glusterfs_clone_action_'
#: Manila's database stores 1023 characters in a value.
_MAX_VALUE = 1023


@dataclasses.dataclass(frozen=True)
class Action:
    """What maintenance did, or could not do."""

    at: datetime.datetime
    message: str


@dataclasses.dataclass
class PassRecord:
    """One pass of maintenance, or its work at the start of the service."""

    #: :data:`PASS` or :data:`START`.
    occasion: str
    began_at: datetime.datetime
    seconds: float = 0.0
    outcome: str = DONE
    #: Why the pass failed; empty if it did not.
    failure: str = ''
    failed_steps: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()

    def fail(self, failure: str) -> None:
        self.outcome, self.failure = FAILED, failure

    def end(self, is_complete: bool, failed_steps: Sequence[str]) -> None:
        """Record the outcome of a pass that ended without an exception.

        :param is_complete: whether all nodes were connected and listed their
            LVs.
        """
        self.failed_steps = tuple(failed_steps)
        self.outcome = DONE if is_complete else INCOMPLETE
        if failed_steps:
            self.outcome = FAILED


class _Listener(logging.Handler):
    """Collects warnings of maintenance, and of the thread of the pass."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.actions: list[Action] = []
        self._thread_id = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if (
            record.name.startswith(_OWN_LOGGERS)
            or record.thread == self._thread_id
        ):
            self.actions.append(Action(_now(), record.getMessage()))


@contextlib.contextmanager
def recording(occasion: str) -> Iterator[PassRecord]:
    """Record the actions of the body, and how long it takes."""
    record = PassRecord(occasion, _now())
    begin = time.monotonic()
    listener = _Listener()
    logger = logging.getLogger(_PACKAGE)
    logger.addHandler(listener)
    try:
        yield record
    finally:
        logger.removeHandler(listener)
        record.seconds = round(time.monotonic() - begin, 3)
        record.actions = tuple(listener.actions)


@dataclasses.dataclass(frozen=True)
class History:
    """The last records of the maintenance of a back end."""

    #: The last pass or start, without its actions; None if none is recorded.
    last: PassRecord | None
    #: The last actions, the newest first.
    actions: tuple[Action, ...]


class PassRecords:
    """The records of one back end.

    :param storage: Manila's private storage of the driver; None to keep no
        records.
    :param service_host: the name of the service in Manila: ``HOST@BACKEND``.
    """

    def __init__(self, storage: Any | None, service_host: str) -> None:
        self._storage = storage
        self._key = str(uuid.uuid5(uuid.NAMESPACE_DNS, service_host))

    def write(self, record: PassRecord) -> None:
        """Write a record, unless the pass was skipped; log errors."""
        if self._storage is None or record.outcome == SKIPPED:
            return
        values = {_LAST: _encode_pass(record)}
        try:
            if record.actions:
                actions = [
                    *reversed(record.actions),
                    *self.read().actions,
                ][:MAX_ACTIONS]
                for number, action in enumerate(actions):
                    values[f'{_ACTION}{number:02}'] = _encode_action(action)
            self._storage.update(self._key, values)
        except Exception as error:
            LOG.debug('Recording a maintenance pass failed: %s', error)

    def read(self) -> History:
        """Return the records; ignore those that cannot be read."""
        values: Mapping[str, str] = {}
        if self._storage is not None:
            values = self._storage.get(self._key) or {}
        last = None
        actions = []
        for name, text in sorted(values.items()):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                if name == _LAST:
                    last = _decode_pass(json.loads(text))
                elif name.startswith(_ACTION):
                    at, message = json.loads(text)
                    actions.append(Action(_time(at), str(message)))
        return History(last, tuple(actions))


def _encode(make: Callable[[str], object], message: str) -> str:
    """Return JSON that fits into a value; shorten the message if necessary.

    JSON escapes quotes and all characters outside ASCII, so the text grows.

    :param make: returns the object to encode, with the given message.
    """
    ending = ''
    while len(text := json.dumps(make(message + ending))) > _MAX_VALUE:
        message, ending = message[: len(message) * 9 // 10], '…'
    return text


def _encode_pass(record: PassRecord) -> str:
    return _encode(
        lambda failure: {
            'occasion': record.occasion,
            'began_at': record.began_at.timestamp(),
            'seconds': record.seconds,
            'outcome': record.outcome,
            'failure': failure,
            'failed_steps': list(record.failed_steps),
        },
        record.failure,
    )


def _decode_pass(values: Mapping[str, Any]) -> PassRecord:
    return PassRecord(
        occasion=str(values['occasion']),
        began_at=_time(values['began_at']),
        seconds=float(values['seconds']),
        outcome=str(values['outcome']),
        failure=str(values['failure']),
        failed_steps=tuple(map(str, values['failed_steps'])),
    )


def _encode_action(action: Action) -> str:
    return _encode(
        lambda message: [action.at.timestamp(), message], action.message
    )


def _time(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(
        float(seconds), datetime.timezone.utc
    )


def _now() -> datetime.datetime:
    return _time(time.time())
