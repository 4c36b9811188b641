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
"""The two kinds of failure of the lab.

* :class:`LabError`: the lab broke. This says nothing about the code under
  test.
* :class:`Unexpected`: the lab works, and an expected event did not happen.
  It is an ``AssertionError``, so a test runner reports a *failure* and not
  an *error*.
"""

#: How much of a command's output goes into a message, in characters.
EXCERPT = 2000


class LabError(Exception):
    """The lab itself failed."""


class Unexpected(AssertionError):
    """The lab works, and an expected event did not happen."""


class CommandFailed(Unexpected):
    """A script on a guest ended with an unexpected status.

    :param status: the script's exit status.
    :param in_time: whether it has ended by itself.
    """

    def __init__(
        self,
        node: str,
        script: str,
        status: int,
        out: str,
        err: str,
        in_time: bool = True,
    ) -> None:
        super().__init__(node, script, status, out, err, in_time)
        self.node = node
        self.script = script
        self.status = status
        self.out = out
        self.err = err
        self.in_time = in_time

    def __str__(self) -> str:
        what = (
            'did not end in time'
            if not self.in_time
            else 'succeeded, and should have failed'
            if self.status == 0
            else f'ended with status {self.status}'
        )
        said = '\n'.join(
            part.strip()[-EXCERPT:] for part in (self.err, self.out) if part
        )
        return f'{self.node}: {self.script.strip()!r} {what}\n{said}'
