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
"""Table of the share protocols, by their ``share_proto`` in Manila."""

from manila_glusterfs_clone import protocols
from manila_glusterfs_clone.protocols import native

#: The protocol of all back ends: there is no option to choose another one.
DEFAULT = native.NativeProtocol.share_proto

PROTOCOLS: dict[str, type[protocols.Protocol]] = {
    native.NativeProtocol.share_proto: native.NativeProtocol,
}
