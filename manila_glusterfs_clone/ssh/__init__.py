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
"""SSH to one node; the only package that imports paramiko.

The modules, from the top layer to the bottom layer:

* ``circuit_breaker`` refuses steps to a node that recently failed.
* ``commands`` runs all steps over one connection.
* ``runner_client`` exchanges requests and answers with the runner on the node.
* ``greetings`` compares the release of the runner with this driver.
* ``step_outcomes`` defines the steps and their outcomes.
* ``channels`` runs a process on the channel of a connection.
* ``connector`` connects to a node within a time limit.
* ``transports`` opens a connection, and logs in.
* ``host_keys`` verifies the host key of a node, and ``host_certificates`` its
  certificate.
* ``known_hosts`` and ``private_keys`` read the files of the keys.
* ``key_files`` reads a key file, or reports why it is unusable.
"""
