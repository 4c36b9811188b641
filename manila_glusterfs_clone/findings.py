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
"""The problems of a back end: configuration mistakes and current faults.

A *mistake* is an error in the configuration or in the set-up of a node. It
stays until an operator corrects it. A *fault* is a current failure, such as a
node that is down. Both are described by a :class:`Finding`.
"""

from collections.abc import Sequence
import dataclasses

from manila_glusterfs_clone import errors


@dataclasses.dataclass(frozen=True)
class Finding:
    """One problem of a back end, with its remedy.

    Findings with the same subject, kind and node are equal.
    """

    #: The option or the object that has the problem.
    subject: str
    #: The kind of problem, in one or two words.
    kind: str
    #: The problem and its remedy, for operators.
    message: str = dataclasses.field(compare=False)
    #: The node that has the problem; empty for a problem of the back end.
    node: str = ''
    #: Whether the fault usually ends before the next check. If so, log the
    #: fault only if the next check finds it again.
    ends_soon: bool = dataclasses.field(default=False, compare=False)

    def __str__(self) -> str:
        return labelled(self.subject, self.message)


def labelled(subject: str, message: str) -> str:
    """Put ``SUBJECT:`` before a message that lacks this prefix."""
    label = f'{subject}: '
    return label + message.removeprefix(label)


class Misconfigured(errors.Error):
    """The mistakes of a back end."""

    def __init__(self, backend: str, mistakes: Sequence[Finding]) -> None:
        super().__init__(backend, tuple(mistakes))
        self.backend = backend
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        lines = '\n'.join(f'  * {mistake}' for mistake in self.mistakes)
        return f'back end {self.backend}: unusable; correct this:\n{lines}'
