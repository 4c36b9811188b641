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

from manila_glusterfs_clone import node

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
        'sudo rules of that user. Run the script on each node as root: '
        '"manila-glusterfs-clone node-installer | ssh root@NODE sh". The '
        'script is idempotent.',
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
    sys.stdout.write(node.installer(arguments.user, public_key))
    return 0


if __name__ == '__main__':
    sys.exit(main())
