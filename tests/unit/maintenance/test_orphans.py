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
"""Orphans: their sentences, and which ones are removed."""

import datetime
from typing import Any

from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import orphans

ID = 'aaaaaaaa-0000-4000-8000-000000000000'
DELETED_AT = datetime.datetime(2026, 11, 30, 1, 2, 3, 4)


def test_sentence_of_an_orphan() -> None:
    assert str(orphans.Orphan('snapshot', ID, DELETED_AT)) == (
        f'Snapshot manila-snap-{ID}: Manila deleted it at 2026-11-30 '
        f'01:02:03 UTC, but the cluster still has it; keeping it, because '
        f'glusterfs_clone_orphans is "report". To remove it, run "gluster '
        f'snapshot delete manila-snap-{ID}" and, on each node, unmount what '
        f'"lvs @manila.snapshot={ID}" lists and run "lvremove '
        f'@manila.snapshot={ID}"'
    )


def test_sentence_of_an_unknown_object() -> None:
    assert str(orphans.Orphan('share', ID)) == (
        f'Share manila-{ID}: on the cluster, but Manila\'s database has no '
        f'share instance {ID}, not even a deleted one; keeping it. If '
        f'neither you nor another Manila needs it, run "gluster volume '
        f'stop manila-{ID} force" and "gluster volume delete manila-{ID}" '
        f'and, on each node, unmount what "lvs @manila.share={ID}" lists and '
        f'run "lvremove @manila.share={ID}"'
    )


def test_only_removal_has_a_grace_time() -> None:
    def seconds_ago(removes: bool) -> float:
        unused: Any = None
        kept = orphans.Orphans(
            unused,
            unused,
            unused,
            backoff.Backoff(),
            service_host='h@b',
            grace_seconds=3600,
            must_remove=removes,
        )
        now = datetime.datetime.now(datetime.timezone.utc)
        latest = kept.deleted_before()
        return (now.replace(tzinfo=None) - latest).total_seconds()

    assert 3599 < seconds_ago(True) < 3660
    assert -1 < seconds_ago(False) < 60
