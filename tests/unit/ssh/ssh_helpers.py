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
from unittest import mock

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone.ssh import commands
from tests.unit import sshd


T = TypeVar('T')


#: Seconds within which all that hangs has to be given up. What is waited for
#: with patience, one after the other, must have come by then.
SOON = 3 * sshd.PATIENCE


#: A step that changes nothing.
READ = commands.Step('list_lvs', {'names': []})

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
    runner: str | pathlib.Path = node_files.RUNNER_PATH,
) -> commands.Remote:
    if server is not None:
        port, home = server.port, server.home
    assert home is not None
    with mock.patch.object(node_files, 'RUNNER_PATH', str(runner)):
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


def refusal(
    node: commands.Remote, timeout: float = sshd.PATIENCE
) -> errors.Unreachable:
    """Return the error of a step that could not be started."""
    with pytest.raises(errors.Unreachable) as caught:
        node.run(READ, timeout=timeout)
    assert not errors.is_unknown(caught.value)
    return caught.value


MakeCrooked = Callable[[type[sshd.Manners]], sshd.Crooked]
