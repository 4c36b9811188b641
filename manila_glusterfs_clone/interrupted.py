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
"""What a manila-share that died left in Manila's database.

A request is taken from the message queue before it is worked on, so that
what a killed service was at work on is never asked for again, and Manila
leaves a share in ``creating``, ``extending`` or ``deleting``, and a snapshot
likewise, for ever (manila/share/manager.py, ``ensure_driver_resources``: it
passes over what is in such a state). Its users can do nothing with them,
since all requests are refused. So that it is put right here when the service
starts, before it takes requests.

Deletions go on. What was being made is in error: its user deletes it, and
with it all that was made of it, and tries again. What was being extended is
available, of the size it had; asking again goes on where it was left.
Access rules Manila sees to by itself.
"""

from collections.abc import Iterable, Mapping
import contextlib
from typing import Any

from manila import db
from manila.share import rpcapi
from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import locks

LOG = log.getLogger(__name__)

_CREATING, _EXTENDING, _DELETING = 'creating', 'extending', 'deleting'


def settle(context: Any, host: str, mutex: locks.Locks) -> None:
    """Put right what was being done when the service died; never raises.

    :param context: an administrator's.
    :param host: whose shares they are: ``HOST@BACKEND``.
    :param mutex: held by an operation that goes on, in another process.
    """
    try:
        _settle(context, host, mutex)
    except Exception:
        LOG.exception(
            'What was interrupted when %s was stopped could not be looked '
            'for; shares and snapshots may stay in a state of transition',
            host,
        )


def _settle(context: Any, host: str, mutex: locks.Locks) -> None:
    manager = rpcapi.ShareAPI()
    shares = db.share_instance_get_all_by_host(context, host)
    for share in _interrupted(shares):
        with contextlib.suppress(errors.NotPossible):
            with mutex.share(share['id'], timeout=0):
                # Not what it was before there was the lock.
                share = db.share_instance_get(context, share['id'])
                status = _after(share, 'share')
                if status == _DELETING:
                    manager.delete_share_instance(context, share)
                elif status:
                    db.share_instance_update(
                        context, share['id'], {'status': status}
                    )
    if not shares:
        return
    snapshots = db.share_snapshot_instance_get_all_with_filters(
        context, {'share_instance_ids': [share['id'] for share in shares]}
    )
    for snapshot in _interrupted(snapshots):
        with contextlib.suppress(errors.NotPossible):
            with mutex.snapshot(snapshot['id'], timeout=0):
                snapshot = db.share_snapshot_instance_get(
                    context, snapshot['id']
                )
                status = _after(snapshot, 'snapshot')
                if status == _DELETING:
                    manager.delete_snapshot(
                        context, {'id': snapshot['snapshot_id']}, host
                    )
                elif status:
                    db.share_snapshot_instance_update(
                        context, snapshot['id'], {'status': status}
                    )


def _interrupted(
    instances: Iterable[Mapping[str, Any]],
) -> list[Mapping[str, Any]]:
    transitions = _CREATING, _EXTENDING, _DELETING
    return [each for each in instances if each['status'] in transitions]


def _after(instance: Mapping[str, Any], kind: str) -> str | None:
    """The state to go to from one of transition; None from any other."""
    if instance['status'] == _CREATING:
        LOG.warning(
            'Manila was stopped while it made the %s %s: it is in error now, '
            'to be deleted',
            kind,
            instance['id'],
        )
        return 'error'
    if instance['status'] == _EXTENDING:
        LOG.warning(
            'Manila was stopped while it extended the %s %s, which has the '
            'size now that it had before; it can be extended again',
            kind,
            instance['id'],
        )
        return 'available'
    if instance['status'] == _DELETING:
        LOG.warning(
            'Manila was stopped while it deleted the %s %s: it goes on',
            kind,
            instance['id'],
        )
        return _DELETING
    return None
