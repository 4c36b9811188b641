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
"""The exit statuses of all commands.

They are those of monitoring plugins (Nagios, Icinga): 1 is a warning, 2 is
critical, 3 means that the command could not do its work.
"""

import enum


class ExitStatus(enum.IntEnum):
    """The exit status of a command."""

    #: The command did its work. "check": no mistake, fault or warning.
    #: "reconcile": nothing to correct, or all of it was corrected.
    OK = 0
    #: "check": a fault or a warning. "reconcile": something to correct.
    #: "status": a part of the cluster could not be read, or is offline.
    WARNING = 1
    #: "check": a mistake, which prevents the start of a back end.
    CRITICAL = 2
    #: The command could not do its work, and changed nothing. An argument is
    #: wrong, a file cannot be read, Manila's database does not answer, or no
    #: node answers. One line on stderr says what to do.
    UNKNOWN = 3
