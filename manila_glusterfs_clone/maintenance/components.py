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
"""The components of the maintenance of one back end.

A maintenance pass calls them one after the other."""

import dataclasses

from manila_glusterfs_clone.maintenance import access_audit
from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import brick_tag_repair
from manila_glusterfs_clone.maintenance import differences
from manila_glusterfs_clone.maintenance import healing
from manila_glusterfs_clone.maintenance import interrupted_work
from manila_glusterfs_clone.maintenance import lost_rule_changes
from manila_glusterfs_clone.maintenance import orphans
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone import options


@dataclasses.dataclass(frozen=True)
class Components:
    """The components of the maintenance of one back end."""

    healer: healing.Healer
    access_audit: access_audit.AccessAudit
    brick_tags: brick_tag_repair.BrickTags
    orphans: orphans.Orphans
    interrupted_work: interrupted_work.InterruptedWork
    lost_rule_changes: lost_rule_changes.LostRuleChanges
    differences: differences.Differences


def open_components(
    the_services: services.Services,
    the_backoff: backoff.Backoff,
    service_host: str,
) -> Components:
    """Return the components, without connecting to nodes.

    :param service_host: the name of the service in Manila: ``HOST@BACKEND``.
    """
    settings = the_services.settings
    the_access_audit = access_audit.AccessAudit(
        the_services, the_backoff, service_host=service_host
    )
    the_brick_tags = brick_tag_repair.BrickTags(
        the_services.cluster, the_services.locks, the_backoff
    )
    the_orphans = orphans.Orphans(
        the_services.shares,
        the_services.snapshots,
        the_services.locks,
        the_backoff,
        service_host=service_host,
        grace_seconds=settings.orphan_grace,
        must_remove=settings.orphans == options.REMOVE,
    )
    the_lost_rule_changes = lost_rule_changes.LostRuleChanges(
        the_backoff, service_host=service_host
    )
    return Components(
        healer=healing.Healer(the_services),
        access_audit=the_access_audit,
        brick_tags=the_brick_tags,
        orphans=the_orphans,
        interrupted_work=interrupted_work.InterruptedWork(
            the_services, the_backoff, service_host=service_host
        ),
        lost_rule_changes=the_lost_rule_changes,
        differences=differences.Differences(
            the_services,
            the_access_audit,
            the_brick_tags,
            the_orphans,
            the_lost_rule_changes,
            service_host=service_host,
        ),
    )
