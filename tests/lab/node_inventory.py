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
"""Runs *on a storage node* and says, as JSON, what there is.

It is sent as text by :mod:`tests.lab.leaks`, so that it imports nothing but
the standard library. It asks the tools and the kernel, never the driver.
"""

import contextlib
import json
import os
from pathlib import Path
import re
import subprocess
from typing import Any

GLUSTERD = Path('/var/lib/glusterd')
#: Roots of brick directories: of created shares, and of gluster's snapshots.
BRICKS = Path('/srv/manila-glusterfs-clone')
SNAPS = Path('/run/gluster/snaps')
#: Where glusterd keeps the files of the processes of each volume.
PROCESSES = (Path('/run/gluster/vols'), Path('/run/gluster/shd'))
#: Where anyone may leave a file, and how deep to look for it there.
SCRATCH = {
    '/tmp': 2,
    '/var/tmp': 2,
    '/home/manila': 2,
    '/root': 1,
    '/run': 1,
    '/run/lock': 2,
    '/run/gluster': 1,
    '/var/lib/glusterd': 1,
    '/var/lib/glusterd/ss_brick': 1,
    '/var/lib/glusterd/vols': 1,
    '/var/lib/glusterd/snaps': 1,
}


def said(*argv: str, stdin: str = '') -> str | None:
    """Return a command's stdout, or None if it fails or takes a minute."""
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def hexes(info: Path) -> list[str]:
    """Return the hex ids that name the brick LVs of a volume.

    Its own id, and those in the paths of its bricks: the two differ once a
    snapshot was restored.
    """
    found = set()
    with contextlib.suppress(OSError):
        for line in info.read_text().splitlines():
            key, _, value = line.partition('=')
            if key == 'volume-id':
                found.add(value.replace('-', ''))
            elif key.startswith('brick-'):
                found |= set(re.findall(r'-run-gluster-snaps-(\w{32})', value))
    return sorted(found)


def volumes() -> dict[str, list[str]]:
    """Return the volumes on glusterd's disk, with their hex ids."""
    return {
        path.name: hexes(path / 'info')
        for path in (GLUSTERD / 'vols').glob('*')
        if path.is_dir()
    }


def snapshots() -> dict[str, dict[str, Any]]:
    """Return the snapshots on glusterd's disk: hex ids, and if active."""
    found: dict[str, dict[str, Any]] = {}
    for path in (GLUSTERD / 'snaps').glob('*'):
        if not path.is_dir() or path.name == 'missed_snaps_list':
            continue
        infos = list(path.glob('*/info'))
        found[path.name] = {
            'hexes': [info.parent.name for info in infos],
            'active': any(
                'status=1' in info.read_text().splitlines() for info in infos
            ),
        }
    return found


def logical_volumes() -> list[dict[str, str]] | None:
    text = said(
        *('lvs', '--reportformat', 'json'),
        *('-o', 'vg_name,lv_name,lv_tags,origin,pool_lv,thin_id,lv_layout'),
    )
    if text is None:
        return None
    lvs: list[dict[str, str]] = json.loads(text)['report'][0]['lv']
    return lvs


def thin_devices(
    lvs: list[dict[str, str]] | None,
) -> dict[str, list[str] | None]:
    """Return the devices without an LV of each thin pool, or None."""
    found: dict[str, list[str] | None] = {}
    for lv in lvs or []:
        if lv['lv_layout'] != 'thin,pool':
            continue
        vg, pool = lv['vg_name'], lv['lv_name']
        device = '-'.join(x.replace('-', '--') for x in (vg, pool))
        # So it is called as long as no LV is active in it.
        target = f'{device}-tpool'
        if not os.path.exists(f'/dev/mapper/{target}'):
            target = device
        known = {
            other['thin_id']
            for other in lvs or []
            if (other['vg_name'], other['pool_lv']) == (vg, pool)
        }
        # Of a pool in use it can be read with this only.
        said('dmsetup', 'message', target, '0', 'reserve_metadata_snap')
        try:
            numbers = said(
                *('thin_ls', '--metadata-snap', '--no-headers'),
                *('--format', 'DEV', f'/dev/mapper/{device}_tmeta'),
            )
        finally:
            said('dmsetup', 'message', target, '0', 'release_metadata_snap')
        found[f'{vg}/{pool}'] = (
            None
            if numbers is None
            else [each for each in numbers.split() if each not in known]
        )
    return found


def mounts() -> dict[str, str]:
    """Return the mount points of file systems on devices, with these."""
    found = {}
    for line in Path('/proc/self/mounts').read_text().splitlines():
        source, target, kind = line.split()[:3]
        if source.startswith('/dev/') or kind == 'fuse.glusterfs':
            found[target.replace('\\040', ' ')] = source
    return found


def directories() -> list[str]:
    """Return directories for bricks and processes, without their content."""
    found = [str(path) for path in BRICKS.glob('*') if path.is_dir()]
    for root in PROCESSES:
        found += [str(path) for path in root.glob('*')]
    for path in SNAPS.glob('*'):
        found.append(str(path))
        found += [str(below) for below in path.glob('*') if below.is_dir()]
    return sorted(found)


def files() -> list[str]:
    found: set[str] = set()

    def look(path: str, depth: int) -> None:
        with contextlib.suppress(OSError):
            for entry in os.scandir(path):
                found.add(entry.path)
                if depth > 1 and entry.is_dir(follow_symlinks=False):
                    look(entry.path, depth - 1)

    for path, depth in SCRATCH.items():
        look(path, depth)
    return sorted(found)


def processes() -> list[dict[str, Any]]:
    """Return gluster's processes and those of the user manila, with age."""
    found = []
    uptime = float(Path('/proc/uptime').read_text().split()[0])
    hertz = os.sysconf('SC_CLK_TCK')
    for path in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            words = (path / 'cmdline').read_bytes().decode().split('\0')
            name = (path / 'comm').read_text().strip()
            environ = (path / 'environ').read_bytes().split(b'\0')
            manila = (
                path.stat().st_uid == 1000 or b'SUDO_USER=manila' in environ
            )
            if name not in ('glusterfs', 'glusterfsd') and not manila:
                continue
            stat = (path / 'stat').read_text().rpartition(')')[2].split()
            if stat[0] == 'Z':
                continue
            volfile = ''
            if '--volfile-id' in words:
                volfile = words[words.index('--volfile-id') + 1]
            found.append(
                {
                    'pid': int(path.name),
                    'name': name,
                    'manila': manila,
                    'volfile': volfile,
                    'age': uptime - int(stat[19]) / hertz,
                    'command': ' '.join(words).strip()[:200],
                }
            )
    return found


def units() -> list[str]:
    """Return failed units, and mounts that systemd does not find."""
    text = said(
        *('systemctl', 'list-units', '--failed', '--plain', '--no-legend')
    )
    return sorted(line.split()[0] for line in (text or '').splitlines())


def cli() -> dict[str, list[str]] | None:
    """Return the volumes and snapshots that glusterd lists, or None."""
    text = said(
        *('gluster', '--mode=script', '--xml'),
        stdin='volume list\nsnapshot list\n',
    )
    if not text or text.count('<cliOutput>') < 2:
        return None
    return {
        'volumes': re.findall('<volume>([^<]+)</volume>', text),
        'snapshots': re.findall('<snapshot>([^<]+)</snapshot>', text),
    }


if __name__ == '__main__':
    # First: what it leaves behind is seen by what follows.
    answers = cli()
    lvs = logical_volumes()
    print(
        json.dumps(
            {
                'cli': answers,
                'volumes': volumes(),
                'snapshots': snapshots(),
                'lvs': lvs,
                'thin_devices': thin_devices(lvs),
                'mounts': mounts(),
                'directories': directories(),
                'files': files(),
                'processes': processes(),
                'units': units(),
            }
        )
    )
