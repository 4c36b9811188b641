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
"""A soak: users, clients and faults at random on one cluster, for long.

* :mod:`~tests.soak.ledger`: the log of operations, faults and violations
* :mod:`~tests.soak.api`: the requests of users to Manila
* :mod:`~tests.soak.work`: users and writing clients
* :mod:`~tests.soak.storm`: faults, one at a time, each ended after a while
* :mod:`~tests.soak.strangers`: foreign objects on the cluster
* :mod:`~tests.soak.run`: all of them together, and the checks at the end
"""
