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
"""Build the values that the driver returns for Manila's database."""

from collections.abc import Callable, Container, Iterable
from typing import Any

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.manila_api import share_metadata
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.tools import gluster


def of_share(
    state: gluster.Volume | errors.Error | None,
    export_locations: Callable[[gluster.Volume], list[dict[str, Any]]],
    *,
    reapply_rules: bool,
) -> dict[str, Any]:
    """Return the values of one share in the result of ``ensure_shares``.

    If the cluster has no usable volume of the share, set the share to error.
    The share then stays in error: Manila does not call ``ensure_shares`` for
    shares in error. So after any other failure, for example because a node is
    down, keep the share available.

    :param state: the volume of the share, or the error of its healing; None if
        the cluster could not be read.
    :param export_locations: returns the export locations of a volume.
    :param reapply_rules: whether Manila has to apply the share's access rules
        again.
    """
    is_missing = isinstance(state, errors.Missing)
    values: dict[str, Any] = {
        'status': 'error' if is_missing else 'available',
        'reapply_access_rules': reapply_rules,
    }
    if isinstance(state, gluster.Volume):
        locations = export_locations(state)
        values['export_locations'] = locations
        if metadata := share_metadata.of_locations(locations):
            values['metadata'] = metadata
    return values


def of_rules(
    rules: Iterable[protocols.Rule], refused_rule_ids: Container[str]
) -> dict[str, dict[str, str]]:
    """Return the states of access rules, by access id.

    :param refused_rule_ids: the access ids of the rules that could not be
        applied.
    """
    return {
        rule.access_id: {
            'state': 'error'
            if rule.access_id in refused_rule_ids
            else 'active'
        }
        for rule in rules
    }
