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
"""The error tree."""

import copy
import inspect
import pickle

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
    errors.Unsettled('volume x', 'it is gone'),
    errors.SeveralFailed({'gl1': errors.NotPossible('no')}),
]


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
def test_they_survive_being_sent(error: errors.Error) -> None:
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


def test_one_that_is_cut_off_is_not_called_unreachable_over_ssh() -> None:
    text = str(errors.CutOff('gl1', 2, 3))
    assert 'gl1' in text
    assert '2 of 3 peers' in text
    assert 'SSH' not in text


def test_stderr_goes_before_stdout_and_is_cut() -> None:
    def said(stdout: str, stderr: str) -> str:
        return str(errors.CommandFailed('gl1', ARGV, 1, stdout, stderr))

    assert said('out', 'err').endswith(': err')
    assert said('out', ' \n').endswith(': out')
    assert said('', '').endswith(': no output')
    assert len(said('', 'x' * 9999)) < errors.EXCERPT + 100


def test_what_says_nothing_is_told_so() -> None:
    assert 'no reason given' in str(errors.GlusterRefused('gl1', ARGV, 1, ''))
    assert str(errors.Garbled('gl1', ARGV, ' ')).endswith(": ''")
    # A log that has a NUL in it is no text any more.
    assert str(errors.Garbled('gl1', ARGV, '\0<\n')).endswith(r": '\x00<'")


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
