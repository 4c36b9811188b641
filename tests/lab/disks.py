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
"""Make scripts that break, fill and restore the disks of a storage node.

This module only makes the text;
:class:`tests.lab.storage_node.StorageNode` runs it.
"""

#: The device-mapper device below VG ``gvg``, and the disk below that.
LABDISK = ('labdisk', '/dev/ubdb')

#: The LV that stands for the data of another tenant in a pool.
FILLER = 'lab-filler'


def table(kind: str, *arguments: object) -> str:
    """Return a script that gives labdisk another device-mapper table.

    What is in flight is let through first, under the old table; nothing is
    frozen above it, since a file system cannot be on a disk that fails.
    """
    name, disk = LABDISK
    words = ' '.join(str(argument) for argument in arguments)
    where = '' if kind == 'error' else f'{disk} 0 {words}'
    return (
        f'size=$(blockdev --getsz {disk}); '
        f'dmsetup suspend --nolockfs --noflush {name}; '
        f'dmsetup load {name} --table "0 $size {kind} {where}" || bad=1; '
        f'dmsetup resume {name}; test -z "${{bad:-}}"'
    )


def linear() -> str:
    """Return the table of a disk without a fault."""
    return table('linear')


#: Writes one block to as many chunks of the filler as the pool lacks to
#: be filled up to a percentage. The pool's zeroing needs no real writes.
_FILL = r"""
import os, subprocess, sys
vg, pool, percent = sys.argv[1], sys.argv[2], float(sys.argv[3])
status = subprocess.run(
    ['dmsetup', 'status', '--target', 'thin-pool'],
    capture_output=True, text=True, check=True).stdout
for line in status.splitlines():
    name, _, rest = line.partition(':')
    if name.startswith(f'{vg}-{pool}'.replace('/', '-')):
        used, total = map(int, rest.split()[5].split('/'))
        break
else:
    sys.exit(f'no such pool: {status}')
lvs = subprocess.run(
    ['lvs', '--noheadings', '--nosuffix', '--units', 'b',
     '-o', 'chunk_size', f'{vg}/{pool}'],
    capture_output=True, text=True, check=True).stdout
chunk = int(lvs)
wanted = int(total * percent / 100) - used
fd = os.open(f'/dev/{vg}/lab-filler', os.O_WRONLY)
block = b'\xa5' * 4096
for number in range(wanted):
    os.pwrite(fd, block, number * chunk)
    if number % 2048 == 2047:
        os.fdatasync(fd)
os.fdatasync(fd)
os.close(fd)
"""


def fill(pool: str, percent: float) -> str:
    """Return a script that fills the data of a pool, given as ``vg/pool``."""
    vg, _, name = pool.partition('/')
    return (
        f'size=$(lvs --noheadings --nosuffix --units b -o lv_size {pool}); '
        f'lvcreate -q -y -W n -V ${{size// /}}b -T {pool} -n {FILLER} '
        f'>/dev/null; python3 - {vg} {name} {percent} <<"PYTHON"\n'
        f'{_FILL}\nPYTHON\n'
    )


def drain(pool: str) -> str:
    """Return a script that undoes :func:`fill`, if there was one."""
    vg, _, _name = pool.partition('/')
    return (
        f'if lvs {vg}/{FILLER} >/dev/null 2>&1; '
        f'then lvremove -q -f -y {vg}/{FILLER} >/dev/null; fi'
    )


#: Makes thin devices that LVM does not know, counting down from the
#: highest number a pool can give, or deletes them again. Each takes a block
#: of the pool's metadata. One ioctl is one device: no process, no LVM.
_METADATA = r"""
import fcntl, os, struct, subprocess, sys
vg, pool, percent = sys.argv[1], sys.argv[2], float(sys.argv[3])
HIGHEST = (1 << 24) - 1
DM_TARGET_MSG = 0xC138FD0E

def status():
    said = subprocess.run(
        ['dmsetup', 'status', '--target', 'thin-pool'],
        capture_output=True, text=True, check=True).stdout
    for line in said.splitlines():
        name, _, rest = line.partition(':')
        if name.startswith(f'{vg}-{pool}'):
            used, total = map(int, rest.split()[4].split('/'))
            return name, used, total
    sys.exit(f'no such pool: {said}')

def message(control, name, text):
    data = struct.pack('=Q', 0) + text.encode() + b'\0'
    size = 312 + len(data)
    head = struct.pack('=5IiIIIIQ128s129s7x', 4, 0, 0, size, 312, 0, 0, 0, 0,
                       0, 0, name.encode(), b'')
    fcntl.ioctl(control, DM_TARGET_MSG, bytearray(head + data))

name, used, total = status()
control = os.open('/dev/mapper/control', os.O_RDWR)
number = HIGHEST
if percent < 0:
    try:
        while True:
            message(control, name, f'delete {number}')
            number -= 1
    except OSError:
        sys.exit(0)
while used * 100 < total * percent:
    for _ in range(max(1, int(total * percent / 100 - used) // 2)):
        message(control, name, f'create_thin {number}')
        number -= 1
    name, used, total = status()
"""


def fill_metadata(pool: str, percent: float) -> str:
    """Return a script that fills the metadata of a pool; -1 undoes it."""
    vg, _, name = pool.partition('/')
    return f'python3 - {vg} {name} {percent} <<"PYTHON"\n{_METADATA}\nPYTHON\n'
