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
"""The program that runs the driver's commands on a storage node, as root.

The driver starts this program, the *runner*, once per SSH connection, with
``sudo -n`` (:data:`manila_glusterfs_clone.node.RUNNER_PATH`). The driver may
run no other program with sudo. The runner reads requests from stdin, and
writes answers to stdout. It makes no decisions: it checks values, runs
programs under deadlines, and reports. It is installed as one file, uses the
standard library only, and runs on Python 3.6 and later: Enterprise Linux 8 has
Python 3.6.

**Frames.** Both directions consist of frames of one line each::

    @<nonce> <length> <JSON>

The nonce has 32 hexadecimal digits. The driver makes a new nonce for each
connection; the runner takes it from the first frame, and repeats it in all
answers. The length counts the bytes of the JSON, which is ASCII without
newlines. Login shells, sudo and banners can print text before the first
answer. This text does not contain the nonce, and the driver ignores it. After
the first frame, each byte belongs to a frame. Any other data ends the
connection, and the outcome of all unanswered steps is *unknown*.

**Requests** have an id and up to 64 steps. The steps run one after the
other; requests run in parallel::

    {"id": 7, "steps": [{"verb": "extend_lv", "seconds": 120,
                         "values": {"lv": "vg/lv", "size": 1073741824}}]}

**Answers**: the runner sends one for each step, when the step ends. An answer
has one of these outcomes:

``done``
    ``argv``, ``status``, ``stdout`` and ``stderr`` are those of the program.
    A verb without a program has its result as JSON in ``stdout``.
``refused``
    The step has changed nothing. Kinds: ``invalid`` (a value is not allowed),
    ``missing`` (a program cannot be started), ``busy`` (too many requests),
    ``late`` (no time left to start), ``stopping`` (the connection ended),
    ``glusterd`` (glusterd does not run; a console would wait for it),
    ``status`` (the program ended with a status other than 0; the answer
    contains its output).
``unknown``
    The step may have taken effect. Kinds: ``deadline``, ``signal`` (another
    process killed it), ``ended`` (a gluster console ended), ``garbled`` (an
    output is unreadable or too long), ``failed`` (a fault of the runner).
``skipped``
    The step was not started, because another step was not done.

The values of all steps are checked before the first step is started: a
request with an invalid step starts nothing.

**Deadlines.** Each program has a process group, which gets SIGTERM at the
deadline and SIGKILL 5 s later. If a hung disk keeps a process even then, the
runner answers 1 s later, and waits for the process no longer.

**The end of a connection**: a connection ends if stdin ends, if the runner
receives a signal, or if a frame is broken. Then the runner starts no further
step, and kills programs that only read. A program that changes something runs
until its end or deadline, because an interrupted change leaves more to repair.
If the runner itself is killed, its programs continue without a deadline, and
consoles end because their input ends.

**Values**: the runner checks them against the names that the driver makes, the
volume groups and brick roots that the installer wrote to
:data:`manila_glusterfs_clone.node.SETTINGS_PATH`, and the report of LVM. No
value begins with ``-``, except names of back ends, which follow ``--``. The
runner uses no shell, and follows no symbolic link below a root.
"""

#: The release of this program. Increase it with each change of a verb.
RELEASE = 1
#: The oldest release of the driver that this runner serves. Increase it when a
#: verb that drivers use is removed or gets other values.
OLDEST_SERVED = 1
