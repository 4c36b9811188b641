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
"""A dict that some threads change while others iterate over it."""

from collections.abc import Iterator
from typing import Any, TypeVar

K = TypeVar('K')
V = TypeVar('V')


class SharedDict(dict[K, V]):
    """Iterates over a copy, which the interpreter makes in one step."""

    def __iter__(self) -> Iterator[K]:
        return iter(list(dict.keys(self)))

    def keys(self) -> Any:
        """Return the keys of this moment, as a view of them."""
        return dict(dict.items(self)).keys()

    def values(self) -> Any:
        """Return the values of this moment."""
        return dict(dict.items(self)).values()

    def items(self) -> Any:
        """Return the items of this moment."""
        return dict(dict.items(self)).items()
