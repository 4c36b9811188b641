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
"""Dresses: storage nodes as they are outside of the lab.

A dress is a function that changes a node, and returns what undoes the change.
A node can wear several at a time, which are taken off in the reverse order.

::

    undo = dresses.put_on(lab, lab.node('gl2'), 'noisy')
    undo()
"""

from collections.abc import Callable, Iterable
import ipaddress

from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone.node import archive
from manila_glusterfs_clone import options
from tests.lab.errors import LabError
from tests.lab import host
from tests.lab.lab import Lab
from tests.lab.machine import Machine, side_by_side
from tests.lab.network import HOST, Port
from tests.lab.storage_node import StorageNode

Undo = Callable[[], object]
Dress = Callable[[Lab, StorageNode], Undo]

DOMAIN = 'storage.example'
NETWORK6 = ipaddress.IPv6Network('fd88::/64')

#: Files that are kept while a dress is worn, and those that it adds.
_KEPT = '/var/lib/lab-dress-{}'
_SUDOERS = '/etc/sudoers.d/lab-{}'
_SSHD = '/etc/ssh/sshd_config.d/00-lab-{}.conf'
#: A restart waits until sshd listens, a reload does not. Sessions go on.
#: Without the reset, systemd refuses the sixth restart within ten seconds.
_RESTART_SSHD = 'systemctl reset-failed ssh && systemctl restart ssh'
_MANILA_HOME = '/home/manila'

_GNU = '/usr/lib/gnu-coreutils'
_UUTILS = '/usr/lib/cargo/bin/coreutils'
#: Where Debian has sudo-rs; Ubuntu links sudo to it.
_SUDO_RS = '/usr/lib/cargo/bin'
#: GNU's programs are kept, and links to those of uutils take their places. The
#: lab itself needs the status of GNU's timeout.
_RUST = f"""
mkdir -p {_GNU}
for path in {_UUTILS}/*; do
    name=${{path##*/}}
    [ ! -e /usr/bin/$name ] || cp -a /usr/bin/$name {_GNU}/
done
for name in sudo visudo; do
    [ ! -e {_SUDO_RS}/$name ] || cp -a "$(command -v $name)" {_GNU}/
done
ln -s {_GNU}/timeout /usr/local/bin/timeout
for path in {_GNU}/*; do
    name=${{path##*/}}
    case $name in
    sudo) {_GNU}/ln -sf {_SUDO_RS}/sudo /usr/bin/sudo ;;
    visudo) {_GNU}/ln -sf {_SUDO_RS}/visudo /usr/sbin/visudo ;;
    *) {_GNU}/ln -sf {_UUTILS}/$name /usr/bin/$name ;;
    esac
done
"""
_NO_RUST = f"""
PATH={_GNU}:$PATH
[ ! -e {_GNU}/visudo ] || mv -f {_GNU}/visudo /usr/sbin/visudo
cp -a --remove-destination {_GNU}/. /usr/bin/
rm -r {_GNU} /usr/local/bin/timeout
"""

_NOISE = """\
echo 'Welcome to this node!'
echo '.bashrc: line 3: nvm: command not found' >&2
printf 'no end of line'
"""


def debian(_lab: Lab, node: StorageNode) -> Undo:
    """Dress a node as the installer of Debian leaves it.

    Its own name is 127.0.1.1, the shell of users is bash, sudo uses a pty, and
    the locale of who logs in does not exist on the node.
    """
    sudoers, sshd = _SUDOERS.format('debian'), _SSHD.format('debian')
    restore = _keep(node, 'debian', ['/etc/hosts', '/etc/passwd'])
    node.put('Defaults use_pty\nDefaults mail_badpass\n', sudoers, 0o440)
    node.put(
        'Match User manila\n'
        '    SetEnv LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 LANGUAGE=de\n',
        sshd,
    )
    node.succeed(
        f'sed -i "/[ \t]{node.name}$/d" /etc/hosts; '
        f'echo "127.0.1.1 {node.name}.{DOMAIN} {node.name}" >>/etc/hosts; '
        f'echo "::1 localhost ip6-localhost ip6-loopback" >>/etc/hosts; '
        f'usermod -s /bin/bash manila; '
        f'getent hosts {node.name} | grep -q 127.0.1.1; {_RESTART_SSHD}'
    )
    return lambda: (
        restore(),
        node.succeed(f'rm {sudoers} {sshd}; {_RESTART_SSHD}'),
    )


def noisy(_lab: Lab, node: StorageNode) -> Undo:
    """Have everything on a node print something.

    sudo cannot resolve the name of the host, and lectures; LVM complains about
    its configuration; login shell, sshd and its rc file print texts.
    """
    sudoers, sshd = _SUDOERS.format('noisy'), _SSHD.format('noisy')
    rc_file, shell_file = '/etc/ssh/sshrc', f'{_MANILA_HOME}/.bashrc'
    restore = _keep(
        node,
        'noisy',
        ['/etc/passwd', '/etc/lvm/lvmlocal.conf', rc_file, shell_file],
    )
    # The lab itself logs in as root.
    node.put_files(
        {
            shell_file: (_NOISE, 0o644),
            rc_file: (
                '[ $USER = root ] || { echo rc; echo rc >&2; }\n',
                0o644,
            ),
            '/etc/lab-banner': ('Authorized use only.\n' * 20, 0o644),
            sshd: ('Banner /etc/lab-banner\n', 0o644),
            sudoers: ('Defaults lecture=always\n', 0o440),
        }
    )
    node.succeed(
        f'usermod -s /bin/bash manila; hostname {node.name}-unknown; '
        f'printf "devices {{\\n\tno_such_setting = 1\\n}}\\n" '
        f'>>/etc/lvm/lvmlocal.conf; {_RESTART_SSHD}'
    )
    return lambda: (
        restore(),
        node.succeed(
            f'hostname {node.name}; rm {sudoers} {sshd} /etc/lab-banner; '
            f'{_RESTART_SSHD}'
        ),
    )


def ubuntu(_lab: Lab, node: StorageNode) -> Undo:
    """Use the sudo and the coreutils of Ubuntu 25.10, which are in Rust.

    Where Debian has no sudo-rs (bookworm), sudo stays as it is. The runner is
    installed by the script for operators.
    """
    node.succeed(_RUST, timeout=300)
    _install(node)

    def undo() -> None:
        node.succeed(_NO_RUST, timeout=300)
        node.install_runner()

    return undo


def hardened(_lab: Lab, node: StorageNode) -> Undo:
    """Forbid what an administrator can forbid, but for what the driver needs.

    sshd allows one session and no environment; sudo asks for a terminal; users
    do not see the processes of others.
    """
    sudoers, sshd = _SUDOERS.format('hardened'), _SSHD.format('hardened')
    node.put(
        'MaxSessions 1\nMaxStartups 2:100:2\nMaxAuthTries 2\n'
        'LoginGraceTime 30\nClientAliveInterval 15\nClientAliveCountMax 3\n'
        'RekeyLimit 1M 2m\nPermitUserEnvironment no\nPermitUserRC no\n'
        'AllowAgentForwarding no\nAllowTcpForwarding no\n'
        'AllowStreamLocalForwarding no\nX11Forwarding no\nPrintMotd no\n'
        'AllowUsers root manila\nMatch User manila\n    PermitTTY no\n',
        sshd,
    )
    node.put(
        'Defaults requiretty,use_pty,!visiblepw\n'
        'Defaults timestamp_timeout=0,passwd_tries=1,umask=0077\n'
        'Defaults secure_path="/usr/sbin:/usr/bin"\n',
        sudoers,
        0o440,
    )
    node.succeed(
        f'mount -o remount,hidepid=2 /proc; chmod 0700 {_MANILA_HOME}; '
        f'{_RESTART_SSHD}'
    )
    _install(node)

    def undo() -> None:
        node.succeed(
            f'rm {sudoers} {sshd}; mount -o remount,hidepid=0 /proc; '
            f'chmod 0755 {_MANILA_HOME}; {_RESTART_SSHD}'
        )
        node.install_runner()

    return undo


def shells(_lab: Lab, node: StorageNode) -> Undo:
    """Give the login user tcsh, and make "sh" the shell of busybox."""
    restore = _keep(node, 'shells', ['/etc/passwd', '/bin/sh'])
    node.succeed(
        'usermod -s /bin/tcsh manila; '
        'ln -sf "$(command -v busybox)" /bin/sh; sh -c "echo ok"'
    )
    return restore


def fqdn(lab: Lab, node: StorageNode) -> Undo:
    """Have the peers know a node by its full name; it calls itself so, too.

    glusterd is restarted on all nodes.
    """
    full = f'{node.name}.{DOMAIN}'
    undo_names = _add_names(lab, f'{node.address} {full} {node.name}')
    node.succeed(f'hostname {full}')
    _rename_peer(lab, node.name, full)

    def undo() -> None:
        _rename_peer(lab, full, node.name)
        node.succeed(f'hostname {node.name}')
        undo_names()

    return undo


def ipv6(lab: Lab, node: StorageNode) -> Undo:
    """Give a node an IPv6 address, by which the driver reaches it.

    Its name has both addresses. glusterd uses the IPv4 address: the driver
    does not support peers with IPv6 addresses.
    """
    address = ipv6_address(node.port)
    node.succeed(f'ip address add {address}/64 dev vec0 nodad')
    bridge = f'{ipv6_address(HOST)}/64'
    words = ('ip', 'address', 'replace', bridge, 'dev', 'br0', 'nodad')
    host.run(lab.network.inside(*words))
    undo_names = _add_names(lab, f'{address} {node.name}', is_first=False)
    lines = lab.known_hosts.read_text().splitlines()
    (known,) = [line for line in lines if line.startswith(f'{node.address},')]
    _, _, key = known.partition(' ')
    added = f'{address} {key}'
    lab.known_hosts.write_text('\n'.join([*lines, added]) + '\n')

    def undo() -> None:
        undo_names()
        rest = lab.known_hosts.read_text().replace(f'{added}\n', '')
        lab.known_hosts.write_text(rest)
        node.succeed(f'ip address del {address}/64 dev vec0')

    return undo


def ipv6_address(port: Port) -> str:
    """Return the IPv6 address at a port of the lab's bridge."""
    return str(NETWORK6[port.number])


DRESSES: dict[str, Dress] = {
    'debian': debian,
    'noisy': noisy,
    'ubuntu': ubuntu,
    'hardened': hardened,
    'shells': shells,
    'fqdn': fqdn,
    'ipv6': ipv6,
}


def named(name: str) -> Dress:
    """Return a dress by its name.

    :raises LabError: there is no such dress.
    """
    try:
        return DRESSES[name]
    except KeyError:
        raise LabError(
            f'there is no dress {name!r}; there are {", ".join(DRESSES)}'
        ) from None


def put_on(lab: Lab, node: StorageNode, name: str) -> Undo:
    """Put a dress on a node; return what takes it off."""
    return named(name)(lab, node)


def _keep(node: StorageNode, name: str, paths: Iterable[str]) -> Undo:
    """Keep files of a node; return what restores them, missing ones too."""
    directory = _KEPT.format(name)
    keep = []
    restore = []
    for path in paths:
        kept = f'{directory}{path}'
        keep.append(
            f'mkdir -p "$(dirname {kept})"; rm -f {kept}; '
            f'[ ! -e {path} ] || cp -a {path} {kept}'
        )
        restore.append(
            f'if [ -e {kept} ] || [ -L {kept} ]; then '
            f'cp -a --remove-destination {kept} {path}; '
            f'else rm -f {path}; fi'
        )
    node.succeed('\n'.join(keep))
    return lambda: node.succeed('\n'.join([*restore, f'rm -r {directory}']))


def _install(node: StorageNode) -> None:
    """Run the script for operators on a node."""
    script = node_files.installer(
        'manila',
        '',
        archive.build(archive.sources()),
        node_files.settings([options.DEFAULT_BRICK_ROOT], ['gvg', 'tight']),
    )
    node.succeed('sh -s', stdin=script.encode(), timeout=120)


def _add_names(lab: Lab, line: str, *, is_first: bool = True) -> Undo:
    """Add a line to /etc/hosts of all guests."""

    def add(machine: Machine) -> None:
        command = f'1i {line}' if is_first else f'$a {line}'
        machine.succeed(f"sed -i '{command}' /etc/hosts")

    def remove(machine: Machine) -> None:
        machine.succeed(f"sed -i '/^{line}$/d' /etc/hosts")

    side_by_side(add, lab.machines)
    return lambda: side_by_side(remove, lab.machines)


def _rename_peer(lab: Lab, before: str, after: str) -> None:
    """Have all nodes know a peer by another name."""

    change = f's/^\\(hostname[0-9]*\\)={before}$/\\1={after}/'

    def rename(node: StorageNode) -> None:
        node.succeed(
            f'find /var/lib/glusterd/peers -type f -exec '
            f"sed -i '{change}' {{}} +"
        )

    side_by_side(StorageNode.stop_glusterd, lab.nodes)
    side_by_side(rename, lab.nodes)
    side_by_side(StorageNode.start_glusterd, lab.nodes)
    lab.wait_connected(120)
