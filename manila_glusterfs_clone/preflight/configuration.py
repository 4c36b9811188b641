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
"""The checks of the back end section, and of the files that it names."""

from collections.abc import Iterator

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import findings
from manila_glusterfs_clone import layouts
from manila_glusterfs_clone.locking import locks
from manila_glusterfs_clone import options
from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.ssh import key_files
from manila_glusterfs_clone.ssh import known_hosts
from manila_glusterfs_clone.ssh import private_keys

Finding = findings.Finding


def check(
    settings: options.Settings, protocol: type[protocols.Protocol]
) -> Iterator[Finding]:
    """Yield the mistakes in the options, except in the key files."""
    for option, problem in options.find_mistakes(settings):
        yield Finding(option, 'invalid', problem)
    try:
        layouts.layout_by_name(settings.layout, len(settings.nodes))
    except errors.NotPossible as error:
        yield Finding('glusterfs_clone_layout', 'invalid', str(error))
    yield from protocol.find_mistakes(settings)
    if not locks.has_lock_path():
        yield Finding(
            '[oslo_concurrency] lock_path',
            'empty',
            'not set; set a directory for lock files, because operations on '
            'one share must not run at the same time',
        )


def check_key_files(settings: options.Settings) -> Iterator[Finding]:
    """Yield the mistakes in the private key and the known_hosts file."""
    checks = (
        (
            'glusterfs_clone_ssh_private_key',
            private_keys.check,
            settings.ssh_private_key,
        ),
        (
            'glusterfs_clone_ssh_known_hosts',
            known_hosts.check,
            settings.ssh_known_hosts,
        ),
    )
    for option, check, path in checks:
        try:
            check(path)
        except key_files.Unusable as error:
            yield Finding(option, error.kind, str(error))
