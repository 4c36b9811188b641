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
"""What Manila's database has that nobody works on any more.

A request is taken from the message queue before it is worked on, so that
what a killed service was at work on is never asked for again, and Manila
leaves a share in ``creating``, ``extending``, ``deleting`` or
``unmanage_starting``, and a snapshot likewise, for ever
(manila/share/manager.py, ``ensure_driver_resources``: it passes over what is
in such a state). Its users can do nothing with them, since all requests are
refused. So that it is put right here when the service starts, before it takes
requests.

Deletions go on. What was being made is in error: its user deletes it, and
with it all that was made of it, and tries again. What was being extended is
available, of the size it had; asking again goes on where it was left, as does
unmanaging again what was being unmanaged.
Access rules Manila sees to by itself.

What is being made or extended later on is a request at work; but a deletion
that failed, for a node was away, say, can be asked for again at any time.
"""

from collections.abc import Callable, Collection, Mapping
import contextlib
import dataclasses
from typing import Any

from manila import context as manila_context
from manila import db
from manila import exception
from manila.share import rpcapi
from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import locks

LOG = log.getLogger(__name__)

_DELETING = 'deleting'

#: What a state of transition becomes, and what is said of it.
_INTERRUPTED = {
    'creating': (
        'error',
        'Manila was stopped while it made the %s %s: it is in error now, '
        'to be deleted',
    ),
    'extending': (
        'available',
        'Manila was stopped while it extended the %s %s, which has the '
        'size now that it had before; it can be extended again',
    ),
    'unmanage_starting': (
        'unmanage_error',
        'Manila was stopped while it left the %s %s to its operator, and '
        'did so by half; it can be unmanaged again',
    ),
    _DELETING: (
        _DELETING,
        'Manila was stopped while it deleted the %s %s: it goes on',
    ),
}
_FAILED = {
    'error_deleting': (
        _DELETING,
        'The %s %s could not be deleted before: it goes on, now that all '
        'nodes are there',
    )
}


@dataclasses.dataclass(frozen=True)
class _Kind:
    """Instances of shares, or of snapshots, and what can be had of them."""

    name: str
    read: Callable[[Any, str], Any]
    write: Callable[[Any, str, Mapping[str, str]], Any]
    lock: Callable[..., contextlib.AbstractContextManager[object]]
    delete: Callable[[Any], None]
    #: Whether Manila can be asked to delete it by itself.
    is_asked_for: Callable[[Any], bool]

    def put_right(
        self, context: Any, ids: Collection[str], after: Mapping[str, Any]
    ) -> None:
        """Bring instances that nobody is at work on into another state."""
        for each in ids:
            with (
                contextlib.suppress(errors.Held, exception.NotFound),
                self.lock(each, timeout=0),
            ):
                # Not what it was before there was the lock.
                instance = self.read(context, each)
                if instance['status'] not in after:
                    continue
                before = str(instance['status'])
                status, said = after[before]
                if status == _DELETING and not self.is_asked_for(instance):
                    continue
                LOG.warning(said, self.name, each)
                if status != before:
                    self.write(context, each, {'status': status})
                if status == _DELETING:
                    try:
                        self.delete(instance)
                    except Exception:
                        LOG.exception(
                            'Manila could not be asked to delete the %s %s',
                            self.name,
                            each,
                        )
                        self.write(context, each, {'status': before})


def _kinds(context: Any, host: str, mutex: locks.Locks) -> tuple[_Kind, _Kind]:
    manager = rpcapi.ShareAPI()
    return (
        _Kind(
            'share',
            db.share_instance_get,
            db.share_instance_update,
            mutex.share,
            lambda share: manager.delete_share_instance(context, share),
            lambda share: True,
        ),
        _Kind(
            'snapshot',
            db.share_snapshot_instance_get,
            db.share_snapshot_instance_update,
            mutex.snapshot,
            lambda snapshot: manager.delete_snapshot(
                context, {'id': snapshot['snapshot_id']}, host
            ),
            # Those of a share group are deleted together, by who asks.
            lambda snapshot: bool(snapshot['snapshot_id']),
        ),
    )


def settle(context: Any, host: str, mutex: locks.Locks) -> bool:
    """Put right what was being done when the service died; never raises.

    :param context: an administrator's.
    :param host: whose shares they are: ``HOST@BACKEND``.
    :param mutex: held by an operation that goes on, in another process.
    :return: whether it could be looked for.
    """
    try:
        _settle(context, host, mutex)
    except Exception:
        LOG.exception(
            'What was interrupted when %s was stopped could not be looked '
            'for; shares and snapshots may stay in a state of transition',
            host,
        )
        return False
    return True


def _settle(context: Any, host: str, mutex: locks.Locks) -> None:
    shares = db.share_instance_get_all_by_host(context, host)
    if not shares:
        return
    snapshots = db.share_snapshot_instance_get_all_with_filters(
        context, {'share_instance_ids': [share['id'] for share in shares]}
    )
    kinds = _kinds(context, host, mutex)
    for kind, instances in zip(kinds, (shares, snapshots), strict=True):
        ids = [
            each['id'] for each in instances if each['status'] in _INTERRUPTED
        ]
        kind.put_right(context, ids, _INTERRUPTED)


def delete_again(
    host: str,
    mutex: locks.Locks,
    shares: Collection[str],
    snapshots: Collection[str],
) -> None:
    """Ask manila-share once more for deletions that failed.

    :param host: whose shares they are: ``HOST@BACKEND``.
    :param mutex: held by who deletes one of them meanwhile.
    :param shares: instance ids, as are the snapshots.
    """
    if not (shares or snapshots):
        return
    context = manila_context.get_admin_context()
    kinds = _kinds(context, host, mutex)
    # A share goes when its snapshots are gone.
    for kind, ids in zip(reversed(kinds), (snapshots, shares), strict=True):
        kind.put_right(context, ids, _FAILED)
