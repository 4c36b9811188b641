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
"""The command ``node-installer``: print a script that prepares a node."""

import argparse
import pathlib
import re

from manila_glusterfs_clone.cmd import base
from manila_glusterfs_clone import names
from manila_glusterfs_clone import node
from manila_glusterfs_clone.node import archive
from manila_glusterfs_clone import options

_USER = re.compile(r'[a-z_][a-z0-9_-]{0,31}')


class NodeInstaller(base.Command):
    """Print a shell script that prepares a storage node.

    The script installs a service that mounts bricks before glusterd starts. It
    creates the user that the driver logs in as, and installs the runner for
    the commands of the driver and the sudo rule for the runner. Run the script
    on each node as root: "manila-glusterfs-clone node-installer --pool
    VG/THINPOOL | ssh root@NODE sh". The script is idempotent, and may run
    while the driver uses the node.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--user',
            default='manila',
            help='the user that the driver logs in as (default: %(default)s)',
        )
        parser.add_argument(
            '--public-key',
            metavar='FILE',
            type=pathlib.Path,
            help='the file with the public key of the driver',
        )
        parser.add_argument(
            '--pool',
            metavar='VG/THINPOOL',
            action='append',
            required=True,
            help='a thin pool of glusterfs_clone_pools; repeat the option for '
            'each pool of all back ends. The runner changes nothing in other '
            'volume groups',
        )
        parser.add_argument(
            '--brick-root',
            metavar='DIRECTORY',
            action='append',
            help='glusterfs_clone_brick_root; repeat the option for each '
            'value that a back end has or had. The runner changes nothing in '
            f'other directories (default: {options.DEFAULT_BRICK_ROOT})',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Write the script to stdout."""
        if not _USER.fullmatch(parsed_args.user):
            raise base.Unusable(
                f'{parsed_args.user!r} is not a valid user name; use '
                f'lower-case letters, digits, "_" and "-"'
            )
        public_key = ''
        if parsed_args.public_key is not None:
            public_key = _read_public_key(parsed_args.public_key)
        brick_roots = parsed_args.brick_root or [options.DEFAULT_BRICK_ROOT]
        for brick_root in brick_roots:
            if not names.is_plain_path(brick_root):
                raise base.Unusable(
                    f'{brick_root!r} is not a plain absolute path; name the '
                    f'directory of glusterfs_clone_brick_root'
                )
        try:
            groups = {names.split_pool(pool)[0] for pool in parsed_args.pool}
        except names.NotAPoolName as error:
            raise base.Unusable(str(error)) from error
        self.app.stdout.write(
            node.installer(
                parsed_args.user,
                public_key,
                archive.build(archive.sources()),
                node.settings(brick_roots, groups),
            )
        )


def _read_public_key(path: pathlib.Path) -> str:
    try:
        public_key = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise base.Unusable(
            f'{path} cannot be read ({error}); name the file with the public '
            f'key'
        ) from error
    if '\n' in public_key or 'PRIVATE' in public_key:
        raise base.Unusable(
            f'{path} must contain exactly one public key, and no private '
            f'key; name the file that ends with ".pub"'
        )
    return public_key
