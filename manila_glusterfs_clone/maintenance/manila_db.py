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
"""Read the share and snapshot instances of a back end from Manila's database.

This module uses its own SQL statements, for two reasons. Manila's functions do
not return deleted snapshot instances, and they need one call per share, where
one statement reads all shares. The columns are those of
manila/db/sqlalchemy/models.py in Manila 16.0.0 to 23.0.1.
"""

from collections.abc import Collection
import dataclasses
import datetime
from typing import Any

from manila.db.sqlalchemy import api
from manila.db.sqlalchemy import models
import sqlalchemy

from manila_glusterfs_clone import names
from manila_glusterfs_clone import protocols

#: The value of the column ``deleted`` in a row that is not deleted. In a
#: deleted row, the value is the id of the row.
_NOT_DELETED = 'False'

#: Statuses of shares that are in use and that no operation is changing
#: (manila/common/constants.py).
IN_USE = frozenset(
    {
        'available',
        'awaiting_transfer',
        'ensuring',
        'extending_error',
        'reverting_error',
        'shrinking_error',
        'shrinking_possible_data_loss_error',
    }
)

#: States of access rules that Manila has not begun to change.
_QUEUED_STATES = frozenset(
    {'queued_to_apply', 'queued_to_update', 'queued_to_deny'}
)
#: States of access rules that Manila is applying, updating or denying. The
#: access list may or may not grant such a rule.
_CHANGING_STATES = _QUEUED_STATES | {'applying', 'updating', 'denying'}

_SHARES = models.ShareInstance.__table__
_SNAPSHOTS = models.ShareSnapshotInstance.__table__
_MAPPINGS = models.ShareInstanceAccessMapping.__table__
_RULES = models.ShareAccessMapping.__table__


@dataclasses.dataclass(frozen=True)
class Row:
    """The database row of one share instance or snapshot instance."""

    id: str
    #: The host of the share, ``HOST@BACKEND``.
    host: str
    status: str
    #: When the instance was deleted, in UTC; None if it is not deleted,
    #: ``datetime.max`` if the time is missing.
    deleted_at: datetime.datetime | None
    #: The id of the share instance; for a snapshot, the id of its origin.
    share_id: str


def shares(service_host: str) -> dict[str, Row]:
    """Return the undeleted share instances of ``HOST@BACKEND``, by id."""
    return _rows(
        _SHARES, _is_of_host(service_host), _SHARES.c.deleted == _NOT_DELETED
    )


def snapshots(service_host: str) -> dict[str, Row]:
    """Return the undeleted snapshot instances of ``HOST@BACKEND``, by id."""
    return _rows(
        _SNAPSHOTS,
        _is_of_host(service_host),
        _SNAPSHOTS.c.deleted == _NOT_DELETED,
    )


def shares_by_id(ids: Collection[str]) -> dict[str, Row]:
    """Return the share instances with these ids, even deleted instances."""
    return _rows(_SHARES, _SHARES.c.id.in_(ids)) if ids else {}


def snapshots_by_id(ids: Collection[str]) -> dict[str, Row]:
    """Return the snapshot instances with these ids, even deleted instances."""
    return _rows(_SNAPSHOTS, _SNAPSHOTS.c.id.in_(ids)) if ids else {}


def rules(
    service_host: str, share_id: str | None = None
) -> dict[str, protocols.Rules]:
    """Return the access rules of the shares in use, by share id.

    Return only active and changing rules: access lists must not admit the
    clients of other rules. A rule is in ``error`` if the driver could not
    apply it, or could not verify that its client is disconnected.

    While Manila migrates a share, all its rules have the level ``ro``.

    :param service_host: ``HOST@BACKEND``.
    :param share_id: the only share instance to read; None for all.
    """
    conditions = [
        _is_of_host(service_host),
        _SHARES.c.deleted == _NOT_DELETED,
        _SHARES.c.status.in_(IN_USE),
    ]
    if share_id is not None:
        conditions.append(_SHARES.c.id == share_id)
    mapping_condition = sqlalchemy.and_(
        _MAPPINGS.c.share_instance_id == _SHARES.c.id,
        _MAPPINGS.c.deleted == _NOT_DELETED,
    )
    statement = (
        sqlalchemy.select(
            _SHARES.c.id,
            _MAPPINGS.c.access_id,
            _MAPPINGS.c.state,
            _RULES.c.access_type,
            _RULES.c.access_to,
            sqlalchemy.case(
                (_SHARES.c.cast_rules_to_readonly, 'ro'),
                else_=_RULES.c.access_level,
            ),
        )
        .select_from(
            _SHARES.outerjoin(_MAPPINGS, mapping_condition).outerjoin(
                _RULES, _RULES.c.id == _MAPPINGS.c.access_id
            )
        )
        .where(*conditions)
        .order_by(_SHARES.c.id, _MAPPINGS.c.created_at)
    )
    rules_by_share: dict[str, protocols.Rules] = {}
    for (
        instance_id,
        access_id,
        state,
        access_type,
        access_to,
        access_level,
    ) in _fetch(statement):
        share_rules = rules_by_share.setdefault(instance_id, protocols.Rules())
        if access_type is None:
            continue  # the share has no rules
        rule = protocols.Rule(access_id, access_type, access_to, access_level)
        if state == 'active':
            share_rules = dataclasses.replace(
                share_rules, active=(*share_rules.active, rule)
            )
        elif state in _CHANGING_STATES:
            share_rules = dataclasses.replace(
                share_rules, changing=(*share_rules.changing, rule)
            )
        rules_by_share[instance_id] = share_rules
    return {
        instance_id: share_rules
        for instance_id, share_rules in rules_by_share.items()
        if names.is_id(instance_id)
    }


def shares_with_waiting_rules(service_host: str) -> frozenset[str]:
    """Return the ids of shares whose rules Manila would not apply by itself.

    Such a share has a rule that Manila still has to apply or deny, but the
    ``access_rules_status`` of the share is ``active``. manila-share checks
    only this status when it starts.
    """
    return _shares_with_rules(
        service_host,
        _SHARES.c.access_rules_status == 'active',
        _MAPPINGS.c.state.in_(_CHANGING_STATES),
    )


def shares_with_queued_rules(service_host: str) -> frozenset[str]:
    """Return the ids of the shares in use that have queued rules."""
    return _shares_with_rules(
        service_host,
        _SHARES.c.status.in_(IN_USE),
        _MAPPINGS.c.state.in_(_QUEUED_STATES),
    )


def updating_rules(service_host: str) -> list[tuple[str, str]]:
    """Return the share ids and access ids of rules in ``updating``."""
    found = _rules_of_shares(service_host, _MAPPINGS.c.state == 'updating')
    return sorted((row.id, row.access_id) for row in found)


def wrong_rules_statuses(service_host: str) -> dict[str, str]:
    """Return the right ``access_rules_status`` of shares with a wrong one.

    The status ``syncing`` is wrong if the share has no rule to change.

    :returns: ``error`` if a rule is in error, otherwise ``active``; by the id
        of the share in use.
    """
    # Use one statement: between two statements, a rule could change.
    statement = (
        sqlalchemy.select(_SHARES.c.id, _MAPPINGS.c.state)
        .select_from(
            _SHARES.outerjoin(
                _MAPPINGS,
                sqlalchemy.and_(
                    _MAPPINGS.c.share_instance_id == _SHARES.c.id,
                    _MAPPINGS.c.deleted == _NOT_DELETED,
                ),
            )
        )
        .where(
            _is_of_host(service_host),
            _SHARES.c.deleted == _NOT_DELETED,
            _SHARES.c.status.in_(IN_USE),
            _SHARES.c.access_rules_status == 'syncing',
        )
    )
    states_by_share: dict[str, set[str]] = {}
    for row in _fetch(statement):
        states_by_share.setdefault(row.id, set()).add(row.state)
    return {
        share_id: 'error' if 'error' in states else 'active'
        for share_id, states in states_by_share.items()
        if not states & _CHANGING_STATES
    }


def _shares_with_rules(service_host: str, *conditions: Any) -> frozenset[str]:
    """Return the ids of shares of a host with a rule that meets conditions."""
    found = _rules_of_shares(service_host, *conditions)
    return frozenset(row.id for row in found)


def _rules_of_shares(service_host: str, *conditions: Any) -> list[Any]:
    """Return the share ids and access ids of rules that meet conditions."""
    statement = (
        sqlalchemy.select(_SHARES.c.id, _MAPPINGS.c.access_id)
        .select_from(
            _SHARES.join(
                _MAPPINGS, _MAPPINGS.c.share_instance_id == _SHARES.c.id
            )
        )
        .where(
            _is_of_host(service_host),
            _SHARES.c.deleted == _NOT_DELETED,
            _MAPPINGS.c.deleted == _NOT_DELETED,
            *conditions,
        )
    )
    return _fetch(statement)


def _is_of_host(service_host: str) -> Any:
    """Return the SQL condition that a share instance is on a host."""
    return sqlalchemy.or_(
        _SHARES.c.host == service_host,
        _SHARES.c.host.startswith(f'{service_host}#', autoescape=True),
    )


def _rows(table: Any, *conditions: Any) -> dict[str, Row]:
    share_id = _SHARES.c.id
    tables = _SHARES
    if table is _SNAPSHOTS:
        share_id = _SNAPSHOTS.c.share_instance_id
        tables = _SNAPSHOTS.join(_SHARES, _SHARES.c.id == share_id)
    statement = (
        sqlalchemy.select(
            table.c.id,
            _SHARES.c.host,
            table.c.status,
            table.c.deleted,
            table.c.deleted_at,
            share_id.label('share_id'),
        )
        .select_from(tables)
        .where(*conditions)
    )
    return {
        row.id: Row(
            row.id,
            (row.host or '').partition('#')[0],
            row.status or '',
            # If the time of the deletion is missing, use the latest possible
            # time, so that the object never counts as an orphan.
            (row.deleted_at or datetime.datetime.max)
            if row.deleted != _NOT_DELETED
            else None,
            row.share_id,
        )
        for row in _fetch(statement)
        # Skip other ids: objects on the cluster have ids in canonical form.
        if names.is_id(row.id)
    }


def _fetch(statement: Any) -> list[Any]:
    with api.get_engine().connect() as connection:
        return list(connection.execute(statement))
