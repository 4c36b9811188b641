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
"""The command ``manila-glusterfs-clone``: print the node installer."""

import argparse
from collections.abc import Sequence
import pathlib
import re
import sys

from manila_glusterfs_clone import names
from manila_glusterfs_clone import node
from manila_glusterfs_clone.node import archive
from manila_glusterfs_clone import options

_USER = re.compile(r'[a-z_][a-z0-9_-]{0,31}')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status.

    :param argv: the arguments; None for the arguments of the process.
    """
    parser = argparse.ArgumentParser(
        prog='manila-glusterfs-clone',
        description='Tools for operators of the Manila driver for GlusterFS.',
    )
    commands = parser.add_subparsers(metavar='COMMAND', required=True)
    installer = commands.add_parser(
        'node-installer',
        help='print a shell script that prepares a storage node',
        description='Print a shell script that prepares a storage node. The '
        'script installs a service that mounts bricks before glusterd starts. '
        'It creates the user that the driver logs in as, and installs the '
        'runner for the commands of the driver and the sudo rule for the '
        'runner. Run the script on each node as root: '
        '"manila-glusterfs-clone node-installer --pool VG/THINPOOL | ssh '
        'root@NODE sh". The script is idempotent, and may run while the '
        'driver uses the node.',
    )
    installer.add_argument(
        '--user',
        default='manila',
        help='the user that the driver logs in as (default: %(default)s)',
    )
    installer.add_argument(
        '--public-key',
        metavar='FILE',
        type=pathlib.Path,
        help='the file with the public key of the driver',
    )
    installer.add_argument(
        '--pool',
        metavar='VG/THINPOOL',
        action='append',
        required=True,
        help='a thin pool of glusterfs_clone_pools; repeat the option for '
        'each pool of all back ends. The runner changes nothing in other '
        'volume groups',
    )
    installer.add_argument(
        '--brick-root',
        metavar='DIRECTORY',
        action='append',
        help='glusterfs_clone_brick_root; repeat the option for each value '
        'that a back end has or had. The runner changes nothing in other '
        f'directories (default: {options.DEFAULT_BRICK_ROOT})',
    )
    installer.set_defaults(run=_node_installer)
    arguments = parser.parse_args(argv)
    status: int = arguments.run(arguments)
    return status


def _node_installer(arguments: argparse.Namespace) -> int:
    if not _USER.fullmatch(arguments.user):
        sys.stderr.write(f'{arguments.user!r}: not a valid user name\n')
        return 2
    public_key = ''
    if arguments.public_key is not None:
        try:
            public_key = arguments.public_key.read_text().strip()
        except OSError as error:
            sys.stderr.write(f'{error}\n')
            return 1
        if '\n' in public_key or 'PRIVATE' in public_key:
            sys.stderr.write(
                f'{arguments.public_key}: must contain exactly one public '
                f'key, and no private key\n'
            )
            return 1
    brick_roots = arguments.brick_root or [options.DEFAULT_BRICK_ROOT]
    for brick_root in brick_roots:
        if not names.is_plain_path(brick_root):
            sys.stderr.write(f'{brick_root!r}: not a plain absolute path\n')
            return 2
    try:
        groups = {names.split_pool(pool)[0] for pool in arguments.pool}
    except names.NotAPoolName as error:
        sys.stderr.write(f'{error}\n')
        return 2
    sys.stdout.write(
        node.installer(
            arguments.user,
            public_key,
            archive.build(archive.sources()),
            node.settings(brick_roots, groups),
        )
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
