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
"""Helpers of the SSH tests: connect, fail, and wait with patience."""

from collections.abc import Callable
import pathlib
from typing import TypeVar

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import commands
from tests.unit import sshd


T = TypeVar('T')


#: Seconds within which all that hangs has to be given up. What is waited for
#: with patience, one after the other, must have come by then.
SOON = 3 * sshd.PATIENCE


Connect = Callable[..., commands.Remote]


def make_remote(
    server: sshd.Sshd | sshd.Crooked | None = None,
    *,
    port: int = 0,
    home: pathlib.Path | None = None,
    key: str = 'user',
    known_hosts: str = 'known_hosts',
    sudo: bool = False,
    connect_timeout: float = sshd.PATIENCE,
) -> commands.Remote:
    if server is not None:
        port, home = server.port, server.home
    assert home is not None
    return commands.Remote(
        commands.Address(sshd.HOST, port, sshd.USER),
        commands.Credentials(str(home / key), str(home / known_hosts)),
        sudo=sudo,
        connect_timeout=connect_timeout,
    )


def patiently(attempt: Callable[[float], T | None], seconds: float) -> T:
    """Repeat an attempt with ever more time, until it returns an outcome.

    On a busy machine a short time may be up before the command begins that
    should hang.

    :param attempt: gets the seconds; returns None if the time was too short.
    """
    while (outcome := attempt(seconds)) is None:
        seconds *= 2
        assert seconds < SOON
    return outcome


def failure(start: Callable[[], object]) -> errors.Error:
    with pytest.raises(errors.Error) as caught:
        start()
    return caught.value


def which_connection(node: commands.Remote) -> str:
    return node.run(['printenv', 'SSH_CONNECTION']).stdout


def refusal(
    node: commands.Remote, timeout: float = sshd.PATIENCE
) -> errors.Unreachable:
    with pytest.raises(errors.Unreachable) as caught:
        node.run(['true'], timeout=timeout)
    assert not errors.is_unknown(caught.value)
    with pytest.raises(type(caught.value)):
        node.open(['true'])
    return caught.value


def hang(
    one: sshd.Crooked, node: commands.Remote, command: str, seconds: float
) -> errors.TimedOut | None:
    """Run a command that hangs; return None if it was not started in time."""
    node.run(['true'])
    error = failure(lambda: node.run([command], timeout=seconds))
    if command not in one.begun[-1]:
        return None
    assert isinstance(error, errors.TimedOut)
    return error


MakeCrooked = Callable[[type[sshd.Manners]], sshd.Crooked]
