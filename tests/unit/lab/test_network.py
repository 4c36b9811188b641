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
"""The addresses are as documented, and MAC addresses are unique."""

from tests.lab import network


def test_ports() -> None:
    ports = [network.HOST]
    ports += [network.storage_port(index) for index in range(1, 10)]
    ports += [network.client_port(index) for index in range(1, 10)]
    assert network.storage_port(1).address == '10.88.0.11'
    assert network.client_port(3).address == '10.88.3.1'
    for key in ('name', 'address', 'number', 'mac'):
        assert len({getattr(port, key) for port in ports}) == len(ports)
    assert network.storage_port(1).mac == '52:54:0a:58:00:0b'
