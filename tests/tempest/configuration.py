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
"""Make the configuration of tempest from the features of the driver.

Nothing that can be queried is written down here: the capabilities of pools are
read from the scheduler, and an operation that the driver did not override in
Manila's base class is one that it lacks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manila.share import driver as share_driver

from manila_glusterfs_clone import driver
from tests.lab.manila import backends
from tests.lab.manila import ini
from tests.lab.manila import Manila
from tests.lab.manila import rest
from tests.lab.manila import users


@dataclass(frozen=True)
class Pass:
    """One of several runs, which together are all that applies.

    :param served: the back ends that the scheduler may choose from.
    :param rules: the back end whose kind of access rule is tested.
    :param tests: what is in it, of the tests that are asked for.
    """

    name: str
    served: tuple[str, ...]
    rules: str
    tests: str


#: Tests do not say which back end a share is to be on, so that there is one
#: in most passes. Where there are to be all, none can have been disabled
#: before: see :func:`capabilities`.
PASSES = (
    Pass('multi', backends.BACKENDS, backends.IP, r'.*multi_backend'),
    Pass('ip', (backends.IP,), backends.IP, r'(?!.*multi_backend)'),
    Pass('cert', (backends.CERT,), backends.CERT, r'.*(rule|access)'),
)


def _has(verb: str) -> bool:
    """Whether the driver has a verb, and not its base class alone."""
    of_driver = getattr(driver.GlusterfsCloneShareDriver, verb)
    return of_driver is not getattr(share_driver.ShareDriver, verb)


def capabilities(manila: Manila, backend: str) -> Mapping[str, Any]:
    """What the scheduler knows of the first pool of a back end.

    To be asked before any back end is disabled: the API that lists pools
    does not see one that is enabled again until the next share is made.
    """
    admin = rest.Rest(manila.lab.network, users.ADMIN)
    pools = admin.get(
        f'{rest.MANILA}/scheduler-stats/pools/detail?backend=^{backend}$'
    )
    found: Mapping[str, Any] = pools['pools'][0]['capabilities']
    return found


def settings(
    can: Mapping[str, Any], this: Pass, directory: Path
) -> dict[str, dict[str, object]]:
    """The sections of tempest.conf.

    :param can: the capabilities of the pass's back end.
    """
    protocol = backends.PROTOCOL.lower()
    snapshots = can['snapshot_support']
    groups = can['sg_consistent_snapshot_support']
    name = 'capability_sg_consistent_snapshot_support'
    admin = users.ADMIN
    return {
        'DEFAULT': {
            'log_dir': directory,
            'log_file': 'tempest.log',
            'use_stderr': False,
        },
        'oslo_concurrency': {'lock_path': directory / 'locks'},
        'auth': {
            'use_dynamic_credentials': True,
            'create_isolated_networks': False,
            'tempest_roles': 'member',
            'admin_username': admin.name,
            'admin_password': admin.password,
            'admin_project_name': admin.project,
            'admin_domain_name': users.DOMAIN,
            'admin_system': 'all',
        },
        'identity': {
            'auth_version': 'v3',
            'uri_v3': rest.KEYSTONE,
            'region': users.REGION,
        },
        'identity-feature-enabled': {'api_v2': False, 'api_v3': True},
        'service_available': {
            'manila': True,
            **dict.fromkeys(
                ('nova', 'neutron', 'glance', 'cinder', 'swift', 'horizon'),
                False,
            ),
        },
        'validation': {'run_validation': False},
        'share': {
            'region': users.REGION,
            'multitenancy_enabled': False,
            'create_networks_when_multitenancy_enabled': False,
            'enable_protocols': protocol,
            'enable_ip_rules_for_protocols': '',
            'enable_user_rules_for_protocols': '',
            'enable_cert_rules_for_protocols': '',
            'enable_cephx_rules_for_protocols': '',
            f'enable_{this.rules}_rules_for_protocols': protocol,
            'enable_ro_access_level_for_protocols': protocol,
            'capability_storage_protocol': can['storage_protocol'],
            'capability_snapshot_support': snapshots,
            'capability_create_share_from_snapshot_support': can[
                'create_share_from_snapshot_support'
            ],
            'capability_thin_provisioned': can['thin_provisioning'],
            'default_share_type_name': backends.IP,
            'backend_names': ','.join(this.served),
            'multi_backend': len(this.served) > 1,
            'build_interval': 1,
            'build_timeout': 180,
            # Of what goes wrong nothing is tried again or forgiven.
            'share_creation_retry_number': 0,
            'suppress_errors_in_cleanup': False,
            'run_snapshot_tests': snapshots,
            'run_revert_to_snapshot_tests': can['revert_to_snapshot_support'],
            'run_mount_snapshot_tests': can['mount_snapshot_support'],
            'run_replication_tests': can['replication_type'] is not None,
            'run_extend_tests': _has('extend_share'),
            'run_shrink_tests': _has('shrink_share'),
            'run_manage_unmanage_tests': _has('manage_existing'),
            'run_manage_unmanage_snapshot_tests': _has(
                'manage_existing_snapshot'
            ),
            'run_driver_assisted_migration_tests': _has(
                'migration_check_compatibility'
            ),
            'run_host_assisted_migration_tests': False,
            'run_driver_assisted_backup_tests': _has('create_backup'),
            'run_share_group_tests': True,
            'run_quota_tests': True,
            'run_ipv6_tests': False,
            # None is said by saying nothing.
            **({name: groups} if groups else {}),
        },
    }


def text(can: Mapping[str, Any], this: Pass, directory: Path) -> str:
    """The text of tempest.conf."""
    return ini.text(settings(can, this, directory))
