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
"""The operations that faults are tried on, each after the one before."""

import uuid

from tests.functional import manila_stand_in
from tests import lab as lab_module

CREATE, ACCESS, EXTEND, SNAPSHOT, CLONE = (
    'create',
    'access',
    'extend',
    'snapshot',
    'clone and grow',
)
MAKE_READ_ONLY, MAKE_WRITABLE = 'make read-only', 'make writable'
DELETE_SNAPSHOT, DELETE_CLONE, DELETE = (
    'delete snapshot',
    'delete a clone',
    'delete share',
)
#: In the order of one life: each has what it needs from those before it.
OPERATIONS = (
    CREATE,
    ACCESS,
    MAKE_READ_ONLY,
    MAKE_WRITABLE,
    EXTEND,
    SNAPSHOT,
    CLONE,
    DELETE_CLONE,
    DELETE_SNAPSHOT,
    DELETE,
)
#: The access level before each, and the one that it sets.
LEVELS = {MAKE_READ_ONLY: ('rw', 'ro'), MAKE_WRITABLE: ('ro', 'rw')}


class Life:
    """A share, its snapshot, and a clone of another snapshot.

    :param client: who is let in to the share.
    :param taken: what clones are made of.
    """

    def __init__(
        self,
        manila: manila_stand_in.ManilaStandIn,
        client: lab_module.Client,
        taken: manila_stand_in.Snapshot,
    ) -> None:
        self.manila = manila
        self.client = client
        self.taken = taken
        self.share: manila_stand_in.Share | None = None
        self.snapshot: manila_stand_in.Snapshot | None = None
        self.clone: manila_stand_in.Share | None = None

    def act(self, operation: str) -> None:
        """Run an operation on the result of those before it."""
        manila = self.manila
        match operation:
            case 'create':
                self.share = self._new(1, cloned=False)
                self.share = manila.create(1, share_id=self.share.id)
            case 'access':
                assert self.share
                manila.rules.pop(self.share.id, None)
                states = manila.allow(self.share, self.client.address)
                assert set(states.values()) == {'active'}, states
            case 'make read-only' | 'make writable':
                self._set_level(LEVELS[operation][1])
            case 'extend':
                assert self.share
                self.share = manila.extend(self.share, self.share.size + 1)
            case 'snapshot':
                assert self.share
                self.snapshot = manila_stand_in.Snapshot(
                    str(uuid.uuid4()), self.share
                )
                manila.snapshot(self.share, self.snapshot.id)
            case 'clone and grow':
                self.clone = self._new(2, cloned=True)
                self.clone = manila.clone(
                    self.taken, 2, share_id=self.clone.id
                )
            case 'delete a clone':
                assert self.clone
                manila.delete(self.clone)
                self.clone = None
            case 'delete snapshot':
                assert self.snapshot
                manila.delete(self.snapshot)
                self.snapshot = None
            case 'delete share':
                assert self.share
                manila.delete(self.share)
                self.share = None

    def prepare(self, operation: str) -> None:
        """Make what an operation needs, if it does not exist."""
        if operation == CREATE and self.share:
            if self.snapshot:
                self.act(DELETE_SNAPSHOT)
            self.act(DELETE)
        if operation == CLONE and self.clone:
            self.act(DELETE_CLONE)
        if operation == SNAPSHOT and self.snapshot:
            self.act(DELETE_SNAPSHOT)
        needs_share = (
            ACCESS,
            MAKE_READ_ONLY,
            MAKE_WRITABLE,
            EXTEND,
            SNAPSHOT,
            DELETE_SNAPSHOT,
            DELETE,
        )
        if operation in needs_share and not self.share:
            self.act(CREATE)
            self.act(ACCESS)
        if self.share:
            admits = self.manila.rules.get(self.share.id)
            if operation == ACCESS and admits:
                # Else there would be nothing to change.
                self.manila.deny_all(self.share)
            if operation in (EXTEND, *LEVELS) and not admits:
                # A client is asked how large it is, or writes to it.
                self.act(ACCESS)
            if operation in LEVELS:
                self._set_level(LEVELS[operation][0])
        if operation == DELETE and self.snapshot:
            self.act(DELETE_SNAPSHOT)
        if operation == DELETE_SNAPSHOT and not self.snapshot:
            self.act(SNAPSHOT)
        if operation == DELETE_CLONE and not self.clone:
            self.act(CLONE)

    def _set_level(self, level: str) -> None:
        assert self.share
        state = self.manila.set_level(self.share, self.client.address, level)
        assert state == 'active', state

    @staticmethod
    def _new(size: int, *, cloned: bool) -> manila_stand_in.Share:
        return manila_stand_in.Share(
            str(uuid.uuid4()), size, manila_stand_in.POOL, cloned=cloned
        )

    def concerned(
        self, operation: str
    ) -> manila_stand_in.Share | manila_stand_in.Snapshot | None:
        """Return what an operation makes or deletes, complete or not."""
        return {
            CREATE: self.share,
            DELETE: self.share,
            SNAPSHOT: self.snapshot,
            DELETE_SNAPSHOT: self.snapshot,
            CLONE: self.clone,
            DELETE_CLONE: self.clone,
        }.get(operation)
