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
"""The user messages of Manila for refused requests."""

from manila import db
from manila import exception
from manila.message import api
from manila.message import message_field
import pytest

from manila_glusterfs_clone.cluster import placement
from tests.model.test_share_manager import Cloud
from tests.model.test_share_manager import cloud  # noqa: F401
from tests.model.test_share_manager import share_type  # noqa: F401

Action = message_field.Action
Detail = message_field.Detail


def told(cloud: Cloud) -> list[tuple[str, str, str]]:  # noqa: F811
    """Give what of messages there is: object, action, detail."""
    return sorted(
        (m['resource_id'], m['action_id'], m['detail_id'])
        for m in db.message_get_all(
            cloud.context, sort_key='created_at', sort_dir='asc'
        )
    )


def fill(cloud: Cloud) -> None:  # noqa: F811
    for each in cloud.pool.nodes['gl2'].lvm.pools.values():
        each.data_percent = 96.0


def failed(cloud: Cloud, known: set[str]) -> str:  # noqa: F811
    """Give the one share that is not among those that were there."""
    (found,) = {s['id'] for s in db.share_get_all(cloud.context)} - known
    assert cloud.share(found)['status'] == 'error'
    return str(found)


def test_no_room_for_a_share_or_a_clone(
    cloud: Cloud,  # noqa: F811
) -> None:
    origin = cloud.create()
    snapshot = cloud.snapshot(origin)
    fill(cloud)
    known = {origin}
    for source in (None, snapshot):
        with pytest.raises(exception.NoValidHost) as caught:
            cloud.create(1, source)
        cause = caught.value.__cause__
        assert isinstance(cause, placement.InsufficientSpace)
        assert [*cause.obstacles] == ['gl2']
        share = failed(cloud, known)
        known.add(share)
        assert (share, Action.CREATE[0], Detail.FILTER_CAPACITY[0]) in told(
            cloud
        )
    assert len(told(cloud)) == 2


def test_no_room_for_a_snapshot(cloud: Cloud) -> None:  # noqa: F811
    share = cloud.create()
    fill(cloud)
    with pytest.raises(exception.NoValidHost):
        cloud.snapshot(share)
    ((_, action, detail),) = told(cloud)
    assert (action, detail) == (Action.CREATE[0], Detail.FILTER_CAPACITY[0])


def test_no_room_to_extend(cloud: Cloud) -> None:  # noqa: F811
    share = cloud.create()
    fill(cloud)
    with pytest.raises(exception.ShareExtendingError):
        cloud.extend(share, 2)
    assert told(cloud) == [
        (share, Action.EXTEND[0], Detail.FILTER_CAPACITY[0]),
        # This one is Manila's.
        (share, Action.EXTEND[0], Detail.DRIVER_FAILED_EXTEND[0]),
    ]


def test_another_failure_is_no_lack_of_room(
    cloud: Cloud,  # noqa: F811
) -> None:
    cloud.pool.shut_down('gl3')
    with pytest.raises(exception.ShareBackendException):
        cloud.create()
    ((_, _, detail),) = told(cloud)
    assert detail == Detail.UNKNOWN_ERROR[0]


@pytest.mark.parametrize(
    ('kind', 'to', 'level', 'detail'),
    [
        ('cert', 'client', 'rw', Detail.UNSUPPORTED_CLIENT_ACCESS),
        ('user', 'alice', 'rw', Detail.UNSUPPORTED_CLIENT_ACCESS),
        ('ip', 'fe80::1', 'rw', Detail.FORBIDDEN_CLIENT_ACCESS),
    ],
)
def test_a_rule_that_is_refused(
    cloud: Cloud,  # noqa: F811
    kind: str,
    to: str,
    level: str,
    detail: tuple[str, str],
) -> None:
    share = cloud.create()
    db.share_access_create(
        cloud.context,
        {
            'share_id': share,
            'access_type': kind,
            'access_to': to,
            'access_level': level,
        },
    )
    cloud.manager.update_access(cloud.context, cloud.instance(share))
    assert [*cloud.rules(share).values()] == ['error']
    wanted = [(share, Action.UPDATE_ACCESS_RULES[0], detail[0])]
    assert told(cloud) == wanted
    # It is told once, not each time that the rules are applied again.
    cloud.start()
    assert told(cloud) == wanted


@pytest.mark.parametrize(
    ('level', 'other', 'changes'),
    [('rw', 'ro', False), ('ro', 'rw', False), ('ro', 'rw', True)],
)
def test_a_rule_with_another_level_than_the_others(
    cloud: Cloud,  # noqa: F811
    level: str,
    other: str,
    changes: bool,
) -> None:
    """It is refused alone, as a new rule and as a changed one."""
    share = cloud.create()
    kept = cloud.allow(share, 'ip', '10.0.0.5', level)
    assert cloud.pool.mount('10.0.0.5', f'manila-{cloud.instance(share)}')
    if changes:
        refused = cloud.allow(share, 'ip', '10.0.0.6', level)
        cloud.set_level(share, refused, other)
    else:
        refused = cloud.allow(share, 'ip', '10.0.0.6', other)
    volume = cloud.pool.state.volumes[f'manila-{cloud.instance(share)}']
    for _ in range(2):
        assert cloud.rules(share) == {kept: 'active', refused: 'error'}
        assert volume.options['auth.allow'] == '10.0.0.5'
        is_read_only = volume.options['features.read-only'] == 'on'
        assert is_read_only == (level == 'ro')
        assert told(cloud) == [
            (
                share,
                Action.UPDATE_ACCESS_RULES[0],
                Detail.UNSUPPORTED_CLIENT_ACCESS[0],
            )
        ]
        # Nor does a restart change anything.
        cloud.start()
    assert not cloud.pool.observer.disturbances


def test_a_message_that_cannot_be_made_fails_nothing(
    cloud: Cloud,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object, **more: object) -> None:
        raise TypeError('as another release has it')

    share = cloud.create()
    with monkeypatch.context() as patch:
        patch.setattr(api.API, 'create', fail)
        good = cloud.allow(share, 'ip', '10.0.0.5')
        bad = cloud.allow(share, 'ip', 'fe80::1')
    assert cloud.rules(share) == {good: 'active', bad: 'error'}


def test_a_detail_that_manila_does_not_have(
    cloud: Cloud,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    share = cloud.create()
    with monkeypatch.context() as patch:
        patch.delattr(Detail, 'FORBIDDEN_CLIENT_ACCESS')
        cloud.allow(share, 'ip', 'fe80::1')
    ((_, _, detail),) = told(cloud)
    assert detail == Detail.UNKNOWN_ERROR[0]
