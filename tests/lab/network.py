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
"""The lab's network: a namespace of its own, a bridge, a tap a guest.

Nothing of the host's own network is seen or changed, so that any number of
labs use the same addresses side by side. Cuts are made at the taps, outside
of the guests: they are silent in both directions, and hold while a guest
is down or boots.
"""

from collections.abc import Iterator
import contextlib
import ctypes
from dataclasses import dataclass
import ipaddress
import os
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab import host

NETWORK = ipaddress.IPv4Network('10.88.0.0/16')
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Port:
    """A guest's port on the lab's bridge.

    :param number: unique in a lab; 1 is the host itself.
    """

    name: str
    address: str
    number: int

    @property
    def mac(self) -> str:
        octets = (int(octet) for octet in self.address.split('.'))
        return '52:54:' + ':'.join(f'{octet:02x}' for octet in octets)


HOST = Port('host', '10.88.0.1', 1)


def storage_port(index: int) -> Port:
    """Return the port of the storage node gl*index*, counted from 1."""
    return Port(f'gl{index}', f'10.88.0.{10 + index}', 10 + index)


def client_port(index: int) -> Port:
    """Return the port of the client c*index*, each in its own /24."""
    return Port(f'c{index}', f'10.88.{index}.1', 100 + index)


class Network:
    """The network namespace of one lab."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.path = Path('/run/netns') / namespace

    def inside(self, *argv: str) -> list[str]:
        """Return a command line that runs a command in this network."""
        return ['nsenter', f'--net={self.path}', '--', *argv]

    def create(self, ports: list[Port]) -> None:
        host.run(['ip', 'netns', 'add', self.namespace])
        lines = [
            'link set lo up',
            f'link add br0 address {HOST.mac} type bridge',
            f'address add {HOST.address}/{NETWORK.prefixlen} dev br0',
            'link set br0 up',
            # The device that drops the frames of a cut: nothing reads it.
            'tuntap add dev hole mode tap',
            'link set hole up',
        ]
        for port in ports:
            lines += [
                f'tuntap add dev {port.name} mode tap',
                f'link set {port.name} master br0 up',
            ]
        self._run('ip', '-batch', '-', stdin='\n'.join(lines))
        for port in ports:
            self._run('tc', 'qdisc', 'add', 'dev', port.name, 'clsact')

    def delete(self) -> None:
        """Remove the namespace with all its content, if it exists."""
        if self.path.exists():
            host.run(['ip', 'netns', 'delete', self.namespace])

    def cut(self, one: Port, other: Port) -> None:
        """Drop all IP packets between the two, in both directions."""
        self.heal(one, other)
        for port, hook, pref, match in self._filters(one, other):
            self._run(
                *('tc', 'filter', 'add', 'dev', port, hook),
                *('pref', pref, 'protocol', 'ip', 'u32', *match),
                *('action', 'mirred', 'egress', 'redirect', 'dev', 'hole'),
            )

    def heal(self, one: Port, other: Port) -> None:
        """Undo :meth:`cut`; do nothing if there is no cut."""
        for port, hook, pref, _match in self._filters(one, other):
            self._run(
                *('tc', 'filter', 'del', 'dev', port, hook, 'pref', pref),
                check=False,
            )

    def heal_all(self, ports: list[Port]) -> None:
        """Undo every cut at these ports."""
        for port in ports:
            for hook in ('ingress', 'egress'):
                self._run('tc', 'filter', 'del', 'dev', port.name, hook)

    def enter(self) -> None:
        """Move the calling thread, and all it starts later, in here."""
        _enter(self.path)

    @contextlib.contextmanager
    def inside_here(self) -> Iterator[None]:
        """Move the calling thread in here, and back at the end."""
        before = os.open('/proc/thread-self/ns/net', os.O_RDONLY)
        try:
            _enter(self.path)
            try:
                yield
            finally:
                _setns(before)
        finally:
            os.close(before)

    def _filters(
        self, one: Port, other: Port
    ) -> list[tuple[str, str, str, list[str]]]:
        """Yield tap, hook, preference and match of each filter of a cut."""
        if HOST in (one, other):
            guest = other if one == HOST else one
            return [
                (
                    *(guest.name, 'ingress', str(HOST.number)),
                    ['match', 'ether', 'dst', HOST.mac],
                ),
                (
                    *(guest.name, 'egress', str(HOST.number)),
                    ['match', 'ether', 'src', HOST.mac],
                ),
            ]
        return [
            (
                *(a.name, 'ingress', str(b.number)),
                ['match', 'ether', 'dst', b.mac],
            )
            for a, b in ((one, other), (other, one))
        ]

    def _run(
        self, *argv: str, stdin: str | None = None, check: bool = True
    ) -> None:
        host.run(
            self.inside(*argv),
            stdin=None if stdin is None else stdin.encode(),
            check=check,
        )


def _enter(path: Path) -> None:
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise LabError(f'there is no network {path}: {error}') from error
    try:
        _setns(fd)
    finally:
        os.close(fd)


def _setns(fd: int) -> None:
    """Move the calling thread into a network namespace; see setns(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise LabError(f'a network namespace cannot be entered: {reason}')
