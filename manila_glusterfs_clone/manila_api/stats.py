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
"""Report the statistics of a back end to Manila's scheduler."""

from importlib import metadata
from typing import Any

from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone.operations import services


def _version() -> str:
    """Return the version of the installed package."""
    try:
        return metadata.version('manila-glusterfs-clone')
    except metadata.PackageNotFoundError:
        return 'unknown'  # a source tree that was never installed


VERSION = _version()


def read(
    the_services: services.Services,
    configuration: Any,
    *,
    filter_function: str | None,
    goodness_function: str | None,
) -> dict[str, Any]:
    """Return the statistics in Manila's format; sizes are in GiB.

    Report all sizes and reserves of every pool: if a pool lacks one of these
    values, the scheduler fails for all back ends. Report the functions for
    every pool, because the scheduler does not read them from the back end.

    :param configuration: the section of the back end in manila.conf, with
        Manila's own options.
    :param filter_function: the function with which the scheduler excludes
        pools; None if every pool passes.
    :param goodness_function: the function with which the scheduler rates
        pools; None if it does not rate them.
    """
    reserved = configuration.reserved_share_percentage
    reserved_from_snapshot = (
        configuration.reserved_share_from_snapshot_percentage
    )
    reserved_for_extend = configuration.reserved_share_extend_percentage
    settings = the_services.settings
    return {
        'vendor_name': 'Gluster',
        'driver_version': VERSION,
        'storage_protocol': the_services.protocol.share_proto,
        'snapshot_support': True,
        'create_share_from_snapshot_support': True,
        'share_backend_name': settings.backend,
        # A share cannot be replicated. With a domain, the scheduler would
        # also place clones on other back ends of the domain.
        'replication_domain': None,
        'pools': [
            {
                'pool_name': name,
                'total_capacity_gb': _gib(capacity.total_bytes),
                'free_capacity_gb': _gib(capacity.free_bytes),
                'provisioned_capacity_gb': _gib(capacity.provisioned_bytes),
                'max_over_subscription_ratio': (
                    settings.limits.oversubscription
                ),
                'thin_provisioning': True,
                'reserved_percentage': reserved,
                'reserved_snapshot_percentage': reserved_from_snapshot
                or reserved,
                'reserved_share_extend_percentage': reserved_for_extend
                or reserved,
                'dedupe': False,
                'compression': False,
                'qos': False,
                'filter_function': filter_function,
                'goodness_function': goodness_function,
            }
            for name, capacity in the_services.capacities().items()
        ],
    }


def _gib(size: int) -> float:
    return round(size / placement.GIB, 2)
