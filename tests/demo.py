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
"""Show on screen what the driver does, on a real cluster with real Manila.

Shares are created with Manila's client, as users do. Guests mount them. At the
end the hosts are checked for leaks.
"""

import argparse
from collections.abc import Iterator
import contextlib
import shlex
import sys
import time
from typing import Any
import warnings

from tests import lab as lab_module
from tests.lab import manila as manila_module
from tests.lab.manila import backends

POOL = 'gvg/pool'
GIB = 1 << 30

NEXT = """Everything is up. In a shell as root,

  ip netns exec {network} bash
  . {openrc}

makes you a user; then type, for instance,

  openstack share create GLUSTERFS 1 --name mine --wait
  openstack share snapshot create mine --name then --wait
  openstack share create GLUSTERFS 2 --name copy --wait \\
      --snapshot-id $(openstack share snapshot show then -f value -c id)
  openstack share access create copy ip {client}
  openstack share export location list copy

In the checkout, python3 -m tests.lab ssh c1 makes you root on the client
that can mount it, and ssh gl1 on the first storage node;
python3 -m tests.lab down takes everything down."""


class Wrong(Exception):
    """A check of the demonstration failed."""


class Screen:
    """Print progress, and a table of results at the end."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._rows: list[tuple[str, str]] = []

    def say(self, text: str) -> None:
        print(f'{time.monotonic() - self._begun:6.1f} s  {text}', flush=True)

    @contextlib.contextmanager
    def step(self, what: str, row: str | None = None) -> Iterator[None]:
        """Print a step and its duration."""
        self.say(what)
        begun = time.monotonic()
        yield
        took = time.monotonic() - begun
        self.say(f'    done in {took:.1f} s')
        if row:
            self.note(row, f'{took:.1f} s')

    def note(self, what: str, found: str) -> None:
        self._rows.append((what, found))

    def check(self, what: str, holds: bool, found: str = 'yes') -> None:
        """Print that a check passed, or end with Wrong."""
        if not holds:
            raise Wrong(f'{what}: no ({found})')
        self.say(f'    {what}: {found}')
        self.note(what, found)

    def table(self) -> None:
        wide = max(len(what) for what, _ in self._rows)
        print()
        print('-' * (wide + 26))
        for what, found in self._rows:
            print(f'{what:<{wide}}  {found}')
        print('-' * (wide + 26))


class User:
    """A user who types commands, which are shown with their results."""

    def __init__(
        self, client: manila_module.OpenStack, screen: Screen
    ) -> None:
        self._client = client
        self._screen = screen

    def type(
        self, *argv: str, shows: tuple[str, ...] = (), row: str | None = None
    ) -> Any:
        """Run a command; return its result.

        :param shows: the fields of it that are put on the screen.
        :param row: what the time is called in the closing table.
        """
        with self._screen.step(f'$ openstack {shlex.join(argv)}', row):
            if not shows:
                return self._client.run(*argv, timeout=300)
            shown = self._client(*argv, timeout=300)
            for field in shows:
                self._screen.say(f'    {field}: {shown[field]}')
            return shown


def used(lab: lab_module.Lab) -> float:
    """Return the used space of the first node's thin pool, in MiB."""
    said = lab.nodes[0].succeed(
        f'lvs --noheadings --nosuffix --units m -o data_percent,lv_size {POOL}'
    )
    percent, size = (float(word) for word in said.split())
    return percent * size / 100


class Story:
    """The demonstration: a share and its clone from creation to deletion."""

    def __init__(
        self, lab: lab_module.Lab, manila: manila_module.Manila, screen: Screen
    ) -> None:
        self.lab = lab
        self.manila = manila
        self.screen = screen
        self.user = User(manila.demo, screen)

    def create(self, name: str, size: int, row: str, *more: str) -> str:
        """Create a share; return its id."""
        shown = self.user.type(
            *('share', 'create', backends.PROTOCOL, str(size)),
            *('--name', name, *more, '--wait'),
            shows=('id', 'status', 'size'),
            row=row,
        )
        if (shown['status'], shown['size']) != ('available', size):
            raise Wrong(f'the share is {shown["status"]}')
        return str(shown['id'])

    def mount(self, share: str, client: lab_module.Client) -> str:
        """Allow a client, and mount the export location from Manila.

        :return: the name of the volume behind it.
        """
        self.user.type(
            *('share', 'access', 'create', share, 'ip', client.address),
            '--wait',
            shows=('state',),
        )
        places = self.manila.demo('share', 'export', 'location', 'list', share)
        (place,) = (each['ID'] for each in places if each['Preferred'])
        shown = self.user.type(
            *('share', 'export', 'location', 'show', share, place),
            shows=('path', 'properties'),
        )
        host, _, volume = shown['path'].partition(':/')
        options = shown['properties']['mount_options']
        client.mount(host, volume, f'/mnt/{share}', options)
        self.screen.say(
            f'{client.name}$ mount -t glusterfs -o {options} '
            f'{shown["path"]} /mnt/{share}'
        )
        return str(volume)

    def tell(self) -> None:
        """Play it."""
        lab, screen, user = self.lab, self.screen, self.user
        first, second = lab.client('c1'), lab.client('c2')

        user.type('share', 'type', 'list')
        self.create('origin', 1, 'share of 1 GiB made in')
        self.mount('origin', first)
        with screen.step('c1 writes 300 MiB in 300 files'):
            first.write_tree('/mnt/origin/a', 150, 150, seed='a')
            first.write_tree('/mnt/origin/b', 150, 150, seed='b')
            first.succeed('sync -f /mnt/origin')
        at_snapshot = first.checksum_tree('/mnt/origin')

        snapshot = user.type(
            *('share', 'snapshot', 'create', 'origin', '--name', 'then'),
            '--wait',
            shows=('id', 'status'),
            row='snapshot taken in',
        )
        with screen.step('c1 deletes half of it and changes the rest'):
            first.succeed(
                'rm -r /mnt/origin/b; '
                'find /mnt/origin/a -type f | '
                'while read -r f; do echo changed >>"$f"; done; '
                'sync -f /mnt/origin',
                timeout=300,
            )
        changed = first.checksum_tree('/mnt/origin')

        before = used(lab)
        self.create(
            *('clone', 2, 'clone of 300 MiB made in'),
            *('--snapshot-id', snapshot['id']),
        )
        grown = used(lab) - before
        screen.check(
            'thin pool grown by the clone', grown < 40, f'{grown:.0f} MiB'
        )
        volume = self.mount('clone', second)
        screen.check(
            'the client of the origin is kept out of the clone',
            not first.can_mount('gl1', volume),
        )
        screen.check(
            'clone holds every byte as at the snapshot',
            second.checksum_tree('/mnt/clone') == at_snapshot,
        )
        self._expect_size(second, 2)
        second.succeed('echo new >/mnt/clone/new; sync -f /mnt/clone')
        with_new = second.checksum_tree('/mnt/clone')
        first.succeed('echo other >/mnt/origin/other; sync -f /mnt/origin')
        screen.check(
            'writes to one are unseen in the other',
            not first.execute('ls /mnt/origin/new').out
            and second.checksum_tree('/mnt/clone') == with_new
            and changed != at_snapshot,
        )
        user.type(
            *('share', 'resize', 'clone', '3', '--wait'),
            row='clone in use extended in',
        )
        self._expect_size(second, 3)

        first.umount('/mnt/origin')
        user.type('share', 'snapshot', 'delete', 'then', '--wait')
        user.type('share', 'delete', 'origin', '--wait')
        screen.check(
            'clone whole after its origin is gone',
            second.checksum_tree('/mnt/clone') == with_new,
        )
        with screen.step('power cut on gl2, and boot', 'node back in'):
            lab.node('gl2').crash()
            lab.node('gl2').boot()
            lab.wait_connected(120)
        screen.check(
            'clone whole after a power cut',
            second.checksum_tree('/mnt/clone') == with_new,
        )
        lab.node('gl1').wait_until_succeeds(
            f'test "$(gluster volume status {volume} detail | '
            f'grep -c "^Online *: Y")" = 3',
            timeout=120,
        )
        screen.note('bricks of the clone online', '3 of 3')

        second.umount('/mnt/clone')
        user.type(
            *('share', 'delete', 'clone', '--wait'), row='clone deleted in'
        )
        leaks = self.manila.leaks()
        screen.check(
            'left behind on the nodes',
            not leaks,
            '; '.join(map(str, leaks)) or 'nothing',
        )

    def _expect_size(self, client: lab_module.Client, gib: int) -> None:
        size, _ = client.df('/mnt/clone')
        self.screen.check(
            f'the clone of {gib} GiB as its client sees it',
            (gib - 0.1) * GIB < size <= gib * GIB,
            f'{size / GIB:.2f} GiB',
        )


def main() -> int:
    """Bring the lab up, run the demonstration, take the lab down."""
    parser = argparse.ArgumentParser(prog='tools/demo', description=__doc__)
    parser.add_argument('--release', choices=['10.3', '11.1'], default='11.1')
    parser.add_argument(
        '--keep', action='store_true', help='leave everything up'
    )
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    screen = Screen()
    screen.note('GlusterFS', arguments.release)
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(
            lab_module.Lab(
                arguments.release,
                nodes=3,
                clients=2,
                name='lab' if arguments.keep else None,
                say=screen.say,
            )
        )
        manila = stack.enter_context(manila_module.Manila(lab, say=screen.say))
        screen.note('Manila', manila.version)
        try:
            Story(lab, manila, screen).tell()
        except Exception as error:
            screen.say(f'FAILED: {error}')
            return 1
        screen.table()
        if arguments.keep:
            lab.detach()
            stack.pop_all()
            client = lab.client('c1').address
            print(
                NEXT.format(
                    network=lab.network.namespace,
                    openrc=manila.openrc(),
                    client=client,
                )
            )
    return 0


if __name__ == '__main__':
    sys.exit(main())
