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
"""Facts about one node that only the command ``check`` needs.

A fact that the node does not report is None or empty.
"""

from collections.abc import Collection, Mapping
import dataclasses
import ipaddress
import re
from typing import Any

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.node.runner import facts as runner_facts
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools import host
from manila_glusterfs_clone.tools import json_answers

_TIMEOUT = 40.0

#: The possible directories of the TLS files; builds of GlusterFS differ.
TLS_DIRECTORIES = runner_facts.TLS_DIRECTORIES

#: The steps that run a program, and this program.
_PROGRAM_BY_VERB = {'lvm_version': 'lvs', 'glusterd_unit': 'systemctl'}
_LVM_RELEASE = re.compile(r'LVM version: +(\d+)\.(\d+)\.(\d+)')


@dataclasses.dataclass(frozen=True)
class TlsFile:
    """A file with certificates, if it exists."""

    path: str
    exists: bool
    #: Each in the format PEM.
    certificates: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a node reports about itself."""

    #: Seconds since the epoch.
    clock: float
    #: The target of the symbolic link /etc/mtab; empty if it is no link.
    mtab: str
    #: The release of LVM, such as (2, 3, 16); empty if unknown.
    lvm: tuple[int, ...]
    #: The release of the kernel.
    kernel: str
    #: Whether the kernel has the module, or can load it.
    has_thin_pools: bool | None
    has_xfs: bool | None
    #: The state of the unit of glusterd, as systemd prints it.
    glusterd_unit: str
    #: Whether something listens on the port of glusterd, on an address that
    #: other hosts can reach.
    is_listening: bool | None
    #: How full the file system of /var/lib/glusterd is, in percent.
    state_percent: int | None
    #: The directory of the TLS files; empty if there are none.
    tls_directory: str
    has_tls_key: bool
    tls_certificate: TlsFile
    tls_authority: TlsFile


def read(
    runner: circuit_breaker.CommandRunner, missing_programs: Collection[str]
) -> Facts:
    """Read the facts about a node, in one request.

    :param missing_programs: the programs that the node does not have.
    :raises errors.Error: the runner did not report the facts.
    """
    verbs = [
        'node_facts',
        *(
            verb
            for verb, program in _PROGRAM_BY_VERB.items()
            if program not in missing_programs
        ),
    ]
    results = runner.run_all(
        [step_outcomes.Step(verb) for verb in verbs], timeout=_TIMEOUT
    )
    by_verb = dict(zip(verbs, results, strict=True))
    result = by_verb['node_facts']
    values = json_answers.value(result, dict)
    try:
        return _facts(
            values,
            _lvm_release(by_verb.get('lvm_version')),
            host.unit_state(by_verb.get('glusterd_unit')),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise errors.Garbled(
            result.node, result.argv, result.stdout
        ) from error


def _facts(
    values: Mapping[str, Any], lvm: tuple[int, ...], glusterd_unit: str
) -> Facts:
    addresses = values['glusterd_addresses']
    tls = values['tls'] or {}
    directory = tls.get('directory', '')
    return Facts(
        clock=float(values['clock']),
        mtab=values['mtab'] or '',
        lvm=lvm,
        kernel=str(values['kernel']),
        has_thin_pools=values['has_dm_thin_pool'],
        has_xfs=values['has_xfs'],
        glusterd_unit=glusterd_unit,
        is_listening=(
            None
            if addresses is None
            else not all(_is_loopback(address) for address in addresses)
        ),
        state_percent=values['state_percent'],
        tls_directory=directory,
        has_tls_key=bool(tls.get('has_key')),
        tls_certificate=_tls_file(
            f'{directory}/{runner_facts.CERTIFICATE}', tls.get('certificates')
        ),
        tls_authority=_tls_file(
            f'{directory}/{runner_facts.AUTHORITY}', tls.get('authorities')
        ),
    )


def _is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text)
    mapped = getattr(address, 'ipv4_mapped', None)
    return (mapped or address).is_loopback


def _tls_file(path: str, certificates: list[str] | None) -> TlsFile:
    return TlsFile(path, certificates is not None, tuple(certificates or ()))


def _lvm_release(result: step_outcomes.Result | None) -> tuple[int, ...]:
    match = _LVM_RELEASE.search(result.stdout) if result else None
    return tuple(map(int, match.groups())) if match else ()
