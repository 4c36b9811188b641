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
"""The causes that only the log of glusterd has."""

import json

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools.gluster import console
from manila_glusterfs_clone.tools.gluster import log
from tests.unit import fakes

FAILED = 'Commit failed on localhost. Please check log file for details.'
#: As glusterd 11.1 writes them; the second to last has its callers.
LINES = """\
part of a line
[2026-11-30 12:46:40.714058 +0000] E [MSGID: 106525] \
[glusterd-op-sm.c:4497:glusterd_dict_set_volid] 0-management: Volume old does \
not exist
[2026-11-30 12:48:32.157511 +0000] E [MSGID: 106061] \
[glusterd-op-sm.c:1132:glusterd_op_stage_set_volume] 0-management: Dict get \
failed [{Key=key7}, {errno=2}]
[2026-11-30 12:48:32.257511 +0000] E [glusterd-pmap.c:157:pmap_port_alloc] \
0-pmap: All the ports in the range are exhausted
[2026-11-30 12:48:32.257611 +0000] E [glusterd-pmap.c:157:pmap_port_alloc] \
0-pmap: All the ports in the range are exhausted
[2026-11-30 12:48:32.459231 +0000] E [run.c:259:runner_log] (-->/usr/lib/x.so\
(+0x12598b) [0x44d6a98b] -->/lib/y.so(runner_log+0x110) [0x400f64d0] ) \
0-management: Failed to execute script: /var/lib/glusterd/hooks/1/x.sh
[2026-11-30 12:48:32.559231 +0000] I [MSGID: 106004] [x.c:1:f] 0-x: ok
"""


def test_the_last_errors() -> None:
    assert log.last_errors(LINES) == (
        'All the ports in the range are exhausted; Failed to execute script: '
        '/var/lib/glusterd/hooks/1/x.sh'
    )


@pytest.mark.parametrize(
    'text',
    [
        '',
        'no line',
        '[2026-11-30 99:48:32.1 +0000] E [x] 0-x: y',
    ],
)
def test_a_text_that_is_no_log(text: str) -> None:
    assert log.last_errors(text) == ''


def test_a_time_that_is_none() -> None:
    line = '[9999-99-99 99:99:99.999999 +0000] E [x] 0-x: y'
    assert log.last_errors(line) == 'y'


@pytest.mark.parametrize(
    ('message', 'error_class'),
    [
        (FAILED, errors.CommitFailed),
        (
            'Pre-validation failed on localhost. Please check log file for '
            'details',
            errors.GlusterRefused,
        ),
    ],
)
def test_the_log_is_part_of_the_error(
    message: str, error_class: type[errors.Error]
) -> None:
    node = fakes.Node().gluster(
        'volume start x', fakes.xml(ret=-1, errno=30800, message=message)
    )
    node.answer(fakes.LOG, fakes.Answer(json.dumps(LINES)))
    with pytest.raises(error_class) as caught:
        console.Console(node).run('volume', 'start', 'x')
    assert 'All the ports' in str(caught.value)


@pytest.mark.parametrize(
    'reply',
    [
        errors.LinkLost('gl1', fakes.LOG, 'EOF'),
        fakes.Answer('', 'No such file', 1),
        fakes.Answer('['),
        fakes.Answer('5'),
    ],
)
def test_a_log_that_cannot_be_read(reply: fakes.Reply) -> None:
    node = fakes.Node().gluster(
        'volume start x', fakes.xml(ret=-1, errno=30800, message=FAILED)
    )
    node.answer(fakes.LOG, reply)
    with pytest.raises(errors.CommitFailed) as caught:
        console.Console(node).run('volume', 'start', 'x')
    assert caught.value.message == FAILED


def test_a_log_of_another_node_is_not_read() -> None:
    """A message with the cause needs no log either."""
    node = fakes.Node().answer(fakes.LOG, AssertionError())
    for message in (
        FAILED.replace('localhost', 'gl2'),
        'Commit failed on localhost. Error: volume is busy',
        'volume start: x: failed: Volume x already started',
    ):
        command = fakes.xml(ret=-1, errno=30800, message=message)
        node.gluster('volume start x', command)
        with pytest.raises(errors.Error):
            console.Console(node).run('volume', 'start', 'x')
