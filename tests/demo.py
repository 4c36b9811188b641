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
"""What the driver does, shown on a real cluster: ``tools/demo``.

The driver is called by Manila's own share manager; the clients are guests
that mount what it exports; what is left in the end the hosts are asked.
"""

import argparse
from collections.abc import Iterator
import contextlib
import logging
import pathlib
import sys
import tempfile
import time
from typing import Any
import warnings

from tests import lab as lab_module

BACKEND = 'gluster1'
POOL = 'gvg/pool'
GIB = 1 << 30
MIB = 1 << 20


class Wrong(Exception):
    """Something is not as it was promised."""


class Screen:
    """Progress as it goes, and a table of what was found."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._rows: list[tuple[str, str]] = []

    def say(self, text: str) -> None:
        print(f'{time.monotonic() - self._begun:6.1f} s  {text}', flush=True)

    @contextlib.contextmanager
    def step(self, what: str, row: str | None = None) -> Iterator[None]:
        """Tell what is done, and how long it took."""
        self.say(f'{what} …')
        begun = time.monotonic()
        yield
        took = time.monotonic() - begun
        self.say(f'    done in {took:.1f} s')
        if row:
            self.note(row, f'{took:.1f} s')

    def note(self, what: str, found: str) -> None:
        self._rows.append((what, found))

    def check(self, what: str, holds: bool, found: str = 'yes') -> None:
        """Tell that a promise is kept, or end here."""
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


def used(lab: lab_module.Lab) -> float:
    """Give what is used of the thin pool of the first node, in MiB."""
    said = lab.nodes[0].succeed(
        f'lvs --noheadings --nosuffix --units m -o data_percent,lv_size {POOL}'
    )
    percent, size = (float(word) for word in said.split())
    return percent * size / 100


class Story:
    """The life of a share and of its clone."""

    def __init__(
        self, lab: lab_module.Lab, manila: Any, screen: Screen
    ) -> None:
        self.lab = lab
        self.manila = manila
        self.screen = screen

    def mount(self, share: str, client: lab_module.Client, at: str) -> None:
        """Let a client in, and mount what Manila says the share's place is."""
        rule = self.manila.allow(share, 'ip', client.address)
        if self.manila.rules(share)[rule] != 'active':
            raise Wrong(f'the rule for {client.name} is not active')
        place = self.manila.locations(share)[0]
        host, _, volume = place['path'].partition(':/')
        options = place['el_metadata'].get('mount_options', '')
        client.mount(host, volume, at, options)
        self.screen.say(f'    {client.name} mounted {place["path"]}')

    def expect(self, share: str, status: str = 'available') -> None:
        found = self.manila.share(share)['status']
        if found != status:
            raise Wrong(f'the share is {found}, not {status}')

    def tell(self) -> None:
        """Play it."""
        lab, manila, screen = self.lab, self.manila, self.screen
        first, second = lab.client('c1'), lab.client('c2')

        with screen.step('a share of 1 GiB', 'share of 1 GiB made in'):
            origin = manila.create(1)
        self.expect(origin)
        self.mount(origin, first, '/mnt/origin')
        with screen.step('c1 writes 300 MiB in 300 files'):
            first.write_tree('/mnt/origin/a', 150, 150, seed='a')
            first.write_tree('/mnt/origin/b', 150, 150, seed='b')
            first.succeed('sync -f /mnt/origin')
        at_snapshot = first.checksum_tree('/mnt/origin')

        with screen.step('a snapshot', 'snapshot taken in'):
            snapshot = manila.snapshot(origin)
        if manila.snapshot_status(snapshot) != 'available':
            raise Wrong('the snapshot is not available')
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
        with screen.step(
            'a share of 2 GiB from the snapshot', 'clone of 300 MiB made in'
        ):
            clone = manila.create(2, snapshot)
        self.expect(clone)
        grown = used(lab) - before
        screen.check(
            'thin pool grown by the clone', grown < 40, f'{grown:.0f} MiB'
        )
        volume = f'manila-{manila.instance(clone)}'
        screen.check(
            'the client of the origin is kept out of the clone',
            not first.can_mount('gl1', volume),
        )
        self.mount(clone, second, '/mnt/clone')
        screen.check(
            'clone holds every byte as at the snapshot',
            second.checksum_tree('/mnt/clone') == at_snapshot,
        )
        size, _ = second.df('/mnt/clone')
        screen.check(
            'size of the clone as its client sees it',
            1.9 * GIB < size <= 2 * GIB,
            f'{size / GIB:.2f} GiB',
        )
        second.succeed('echo new >/mnt/clone/new; sync -f /mnt/clone')
        with_new = second.checksum_tree('/mnt/clone')
        first.succeed('echo other >/mnt/origin/other; sync -f /mnt/origin')
        screen.check(
            'writes to one are unseen in the other',
            not first.execute('ls /mnt/origin/new').out
            and second.checksum_tree('/mnt/clone') == with_new
            and changed != at_snapshot,
        )

        with screen.step('the origin and its snapshot are deleted'):
            first.umount('/mnt/origin')
            manila.delete_snapshot(snapshot)
            manila.delete(origin)
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
        screen.note('bricks of the clone on line', '3 of 3')

        with screen.step('the clone is deleted', 'clone deleted in'):
            second.umount('/mnt/clone')
            manila.delete(clone)
        leaks = lab.leaks(age=1e9)
        screen.check(
            'left behind on the nodes',
            not leaks,
            '; '.join(map(str, leaks)) or 'nothing',
        )


def main() -> int:
    """Bring the lab up, tell the story, take the lab down."""
    parser = argparse.ArgumentParser(prog='tools/demo', description=__doc__)
    parser.add_argument('--release', choices=['10.3', '11.1'], default='11.1')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    screen = Screen()
    screen.note('GlusterFS', arguments.release)
    with (
        tempfile.TemporaryDirectory() as directory,
        lab_module.Lab(
            arguments.release, nodes=3, clients=2, say=screen.say
        ) as lab,
    ):
        lab.enter()
        # Only now: Manila takes seconds to be imported.
        from tests import share_manager

        share_type = share_manager.configure(
            pathlib.Path(directory),
            BACKEND,
            {
                'glusterfs_clone_nodes': ','.join(
                    node.address for node in lab.nodes
                ),
                'glusterfs_clone_pools': POOL,
                'glusterfs_clone_ssh_private_key': lab.manila_key,
                'glusterfs_clone_ssh_known_hosts': lab.known_hosts,
            },
        )
        manila = share_manager.Manila(BACKEND, POOL, share_type)
        with screen.step('Manila\'s share manager starts'):
            manila.start()
        try:
            Story(lab, manila, screen).tell()
        except Exception as error:
            screen.say(f'FAILED: {error}')
            return 1
    screen.table()
    return 0


if __name__ == '__main__':
    sys.exit(main())
