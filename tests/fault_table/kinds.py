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
"""The faults that can happen at one remote step of an operation."""

import enum


class Fault(enum.Enum):
    """The faults tried at every step, in the model and on a cluster."""

    KILLED_BEFORE = 'the caller is killed before it'
    KILLED_AFTER = 'the caller is killed after its effect, before its answer'
    LINK_CUT = 'the link is cut during it'
    POWER_CUT = 'its node loses power'
    GLUSTERD_KILLED = 'glusterd on the writer is killed'
    HANGS = 'it hangs past its deadline'
    GARBLED = 'its answer is garbage'
    REFUSED = 'it refuses'


class Variant(enum.Enum):
    """Variants of these that only a model can produce at will."""

    KILLED_SLOW = 'the caller is killed, and it goes on for a minute'
    UNREACHABLE = 'no SSH session can be opened'
    LOST_BEFORE = 'the link is lost before it has an effect'
    SLOW = 'the link is lost, and it goes on for a minute'
    POWER_CUT_MIDWAY = 'its node loses power midway'
    POWER_CUT_AFTER = 'its node loses power just after its answer'
    REBOOTED = 'its node loses power just after its effect, and boots'
    PEER_REBOOTED = 'another node loses power just after it, and boots'
    GLUSTERD_KILLED_MIDWAY = 'glusterd is killed midway'
    HANGS_IDLE = 'it hangs past its deadline, without effect'
    GIVEN_UP = 'gluster aborts it midway'
    LEFT_OUT = 'a peer that rejoins is left out of it'
