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
"""Read and write the hosts of share instances in Manila's database.

For Manila, the pool of a share is part of the host: ``HOST@BACKEND#POOL``. The
API or the scheduler writes the host before the driver creates the share.
"""

from collections.abc import Callable
import dataclasses
from typing import Any, TypeVar

from manila import db
from manila import exception
from manila.share import utils
from oslo_db import exception as db_exception
from oslo_log import log

from manila_glusterfs_clone import errors

LOG = log.getLogger(__name__)

T = TypeVar('T')


@dataclasses.dataclass(eq=False)
class DatabaseFailed(errors.Refused):
    """Manila's database could not be read or written; nothing was created."""

    share_id: str
    reason: str

    def __str__(self) -> str:
        return (
            f'share {self.share_id}: no answer from the database of Manila, '
            f'so nothing was created: {self.reason}'
        )


def is_migration_target(context: Any, share: Any) -> bool:
    """Return whether Manila will copy the data of a share into this instance.

    Manila creates the destination of a host-assisted migration like a new
    share. If the share was created from a snapshot that still exists, Manila
    passes this snapshot, too (``create_instance`` in manila/share/api.py). A
    share has a second instance only during such a migration, because this
    driver does not replicate shares.

    The destination must be empty. Manila copies all files into it, but deletes
    none there. So a clone would contain files that the user has deleted.

    :param share: the share instance that is about to be created.
    :raises DatabaseFailed: the database could not be read.
    """
    row = _call(share, lambda: db.share_get(context, share['share_id']))
    return any(instance['id'] != share['id'] for instance in row.instances)


def record_pool(context: Any, share: Any, pool: str) -> None:
    """Record the pool in which a share is about to be created.

    With ``use_scheduler_creating_share_from_snapshot``, Manila's scheduler
    chooses any pool of the back end for a clone. A driver cannot prevent this:
    the filter function of a pool does not get the host of the snapshot.

    :param share: the share instance. This function also sets its host.
    :param pool: ``vg/thinpool``.
    :raises DatabaseFailed: the database could not be written.
    """
    host = utils.append_host(utils.extract_host(share['host']), pool)
    if host == share['host']:
        return
    LOG.info(
        'Share %s: the scheduler chose %s, but a clone is in the thin pool of '
        'its snapshot; recording %s',
        share['id'],
        share['host'],
        host,
    )
    values = {'host': host}
    _call(
        share, lambda: db.share_instance_update(context, share['id'], values)
    )
    # Manila sends the host of this object in its notifications.
    share['host'] = host


def _call(share: Any, function: Callable[[], T]) -> T:
    """Call a function of Manila's database API, and return its result."""
    try:
        return function()
    except (db_exception.DBError, exception.ManilaException) as error:
        raise DatabaseFailed(share['id'], str(error)) from error
