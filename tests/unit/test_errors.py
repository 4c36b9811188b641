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
"""The error tree: its drawing, its sentences, and sending it elsewhere."""

import copy
import inspect
import pickle
import re

import pytest

from manila_glusterfs_clone import errors

ARGV = ('lvs', 'a b')

EXAMPLES: list[errors.Error] = [
    errors.Unreachable('gl1', 'no route'),
    errors.Down('gl1', 'no route to host'),
    errors.NoSuchHost('gl1', 'Name or service not known'),
    errors.LoginRefused('gl1', 'no login as manila'),
    errors.HostKeyRejected('gl1', 'ssh-ed25519 SHA256:x is not known'),
    errors.CutOff('gl1', 2, 3),
    errors.CommandFailed('gl1', ARGV, 5, 'out', 'err'),
    errors.BadFileSystem('gl1', ARGV, 1, '', 'Input/output error'),
    errors.InUse(
        errors.CommandFailed('gl1', ARGV, 32, '', 'target is busy'), '/m'
    ),
    errors.GlusterRefused('gl1', ARGV, 30800, 'no'),
    errors.CommitFailed('gl1', ARGV, 'Commit failed on gl2. '),
    errors.Busy('gl1', ARGV, 30802, 'Another transaction is in progress'),
    errors.Occupied('gl1', ARGV),
    errors.AlreadyExists('gl1', ARGV, 0, 'Volume x already exists'),
    errors.NotFound('gl1', ARGV, 30806, 'Volume does not exist'),
    errors.NotPossible('the pool is full'),
    errors.Missing('volume x does not exist'),
    errors.Held('another operation held the lock share-x for 1 s'),
    errors.TimedOut('gl1', ARGV, 60.0),
    errors.LinkLost('gl1', ARGV, 'EOF', 'half an ans'),
    errors.Garbled('gl1', ARGV, '<html>'),
    errors.Unsettled('volume x: it is gone'),
    errors.SeveralFailed({'gl1': errors.NotPossible('no')}),
]


def drawn_tree() -> dict[str, str]:
    """Return the parent of each class in the tree of the module docstring."""
    parents: dict[str, str] = {}
    path = ['Error']
    for line in str(errors.__doc__).splitlines():
        if match := re.match(r'    ([│ ]*)[├└]── (\w+)', line):
            depth = len(match[1]) // 4 + 1
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1]
    return parents


def test_tree_in_the_docstring_is_that_of_the_classes() -> None:
    assert drawn_tree() == {
        name: kind.__bases__[0].__name__
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.Error) and kind is not errors.Error
    }


def test_every_class_has_an_example() -> None:
    concrete = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.Error)
    } - {errors.Error, errors.Refused, errors.Unknown}
    assert {type(example) for example in EXAMPLES} == concrete


@pytest.mark.parametrize('error', EXAMPLES, ids=lambda e: type(e).__name__)
def test_refused_or_unknown_or_neither_but_not_both(
    error: errors.Error,
) -> None:
    assert not (
        isinstance(error, errors.Refused) and isinstance(error, errors.Unknown)
    )


@pytest.mark.parametrize('error', EXAMPLES, ids=lambda e: type(e).__name__)
def test_errors_survive_pickle_and_copy(error: errors.Error) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again).keys() == vars(error).keys()
    assert str(copy.copy(error)) == str(error)


@pytest.mark.parametrize('error', EXAMPLES, ids=lambda e: type(e).__name__)
def test_the_text_tells_all(error: errors.Error) -> None:
    text = str(error)
    for part in error.args:
        if isinstance(part, str) and part not in ('out', 'half an ans'):
            assert part in text
    if getattr(error, 'argv', None):
        assert "lvs 'a b'" in text or 'lvs' in text


SENTENCES = [
    (
        errors.CutOff('gl1', 2, 3),
        'glusterd on node gl1: no connection to 2 of 3 nodes; run "gluster '
        'pool list" on all nodes; start glusterd on disconnected nodes, and '
        'probe missing nodes',
    ),
    (
        errors.Unreachable('gl1', 'private key /k: Permission denied'),
        'node gl1: no SSH session: private key /k: Permission denied',
    ),
    (
        errors.Down('gl1', 'TCP connection: timed out'),
        'node gl1: no SSH session: TCP connection: timed out; start the node, '
        'or repair the network',
    ),
    (
        errors.NoSuchHost('gl1', 'Name or service not known'),
        'node gl1: no SSH session: Name or service not known; correct '
        'glusterfs_clone_nodes, or the DNS',
    ),
    (
        errors.LoginRefused('gl1', 'login as manila failed'),
        'node gl1: no SSH session: login as manila failed; add the public key '
        'to the authorized_keys of that user',
    ),
    (
        errors.HostKeyRejected('gl1', 'SHA256:x is unknown'),
        'node gl1: no SSH session: SHA256:x is unknown; if the key is '
        'genuine, add it to the known_hosts file, and remove older keys of '
        'the node',
    ),
    (
        errors.CommandFailed('gl1', ARGV, 1, 'out', 'err'),
        'node gl1: "lvs \'a b\'" failed with status 1: err',
    ),
    (
        errors.CommandFailed('gl1', ARGV, 1, 'out', ' \n'),
        'node gl1: "lvs \'a b\'" failed with status 1: out',
    ),
    (
        errors.CommandFailed('gl1', ARGV, 1, '', '\n'),
        'node gl1: "lvs \'a b\'" failed with status 1: no output',
    ),
    (
        errors.InUse(
            errors.CommandFailed('gl1', ('umount', '/m'), 32, '', 'busy'), '/m'
        ),
        'node gl1: \'umount /m\' failed with status 32: busy; run "fuser -vm '
        '/m" on the node, end the processes that it lists, and retry',
    ),
    (
        errors.GlusterRefused('gl1', ('volume', 'list'), 1, ''),
        'glusterd on node gl1: refused \'volume list\': no reason given '
        '(errno 1)',
    ),
    (
        errors.Busy('gl1', ('volume', 'list'), 0, 'Another transaction'),
        'glusterd on node gl1: refused \'volume list\': Another transaction '
        '(errno 0); retry in a few minutes. If retries fail, read the UUID '
        'after "held by" in /var/log/glusterfs/glusterd.log on node gl1, find '
        'its node with "gluster pool list", and restart glusterd there',
    ),
    (
        errors.Occupied('gl1'),
        'node gl1: too many commands are running; a command was not started',
    ),
    (
        errors.Occupied('gl1', ('gluster', 'volume', 'list')),
        'node gl1: too many commands are running; \'gluster volume list\' was '
        'not started',
    ),
    (
        errors.TimedOut('gl1', ('lvs',), 60.0),
        'node gl1: no answer to \'lvs\' within 60 s; the command may have '
        'taken effect',
    ),
    (
        errors.LinkLost('gl1', ('lvs',), 'no exit status was sent'),
        'node gl1: the outcome of \'lvs\' is unknown: no exit status was '
        'sent; the command may have taken effect',
    ),
    (
        errors.CommitFailed('gl1', ('volume', 'set'), 'Commit failed on gl2'),
        'glusterd on node gl1: could not complete \'volume set\': Commit '
        'failed on gl2; some nodes may have the change; see '
        '/var/log/glusterfs/glusterd.log on each node',
    ),
    (
        # A log with a NUL is no text any more.
        errors.Garbled('gl1', ('lvs',), '\0<\n'),
        'node gl1: unreadable answer to \'lvs\': \'\\x00<\'',
    ),
]


@pytest.mark.parametrize(('error', 'sentence'), SENTENCES)
def test_sentence(error: errors.Error, sentence: str) -> None:
    assert str(error) == sentence


def test_long_output_is_cut() -> None:
    error = errors.CommandFailed('gl1', ARGV, 1, '', 'x' * 9999)
    assert len(str(error)) < errors.EXCERPT + 100


def test_lists_become_tuples() -> None:
    error = errors.TimedOut('gl1', ['lvs', '-a'], 1)
    assert error.argv == ('lvs', '-a')
    assert error.args == ('gl1', ('lvs', '-a'), 1)


def test_parts_of_several_failures() -> None:
    lost = errors.LinkLost('gl1', ARGV, 'EOF')
    refused = errors.NotPossible('no')
    several = errors.SeveralFailed(
        {'a': lost, 'b': errors.SeveralFailed({'c': refused})}
    )
    assert errors.parts_of(several) == (lost, refused)
    assert errors.parts_of(lost) == (lost,)


def test_unknown() -> None:
    lost = errors.LinkLost('gl1', ARGV, 'EOF')
    refused = errors.NotPossible('no')
    assert errors.is_unknown(lost)
    assert not errors.is_unknown(refused)
    assert not errors.is_unknown(ValueError())
    inner = errors.SeveralFailed({'gl1': refused, 'gl2': lost})
    assert errors.is_unknown(inner)
    assert errors.is_unknown(errors.SeveralFailed({'gl3': inner}))
    assert not errors.is_unknown(errors.SeveralFailed({'gl1': refused}))
    assert not errors.is_unknown(errors.SeveralFailed({}))
