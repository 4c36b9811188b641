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
"""The faults, and the table of their outcomes, for model and real cluster.

* :mod:`~tests.fault_table.kinds`: the faults of a remote step
* :mod:`~tests.fault_table.steps`: the names of remote steps
* :mod:`~tests.fault_table.table`: the outcomes, stored and counted
* :mod:`~tests.fault_table.render`: the table as text
"""
