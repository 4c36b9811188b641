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

The driver starts it once per SSH connection, by ``sudo -n`` and its path
(:data:`manila_glusterfs_clone.node.RUNNER_PATH`). It is the only program that
sudo allows the driver. It reads requests from stdin and writes answers
to stdout. It decides nothing: it checks values, runs programs under
deadlines, and reports. It is installed as one file, uses the standard library
only, and runs on Python 3.6 and later: Enterprise Linux 8 has Python 3.6.

**Frames.** Both directions consist of frames of one line each::

    @<nonce> <length> <JSON>

The nonce has 32 hexadecimal digits. The driver makes a new one for each
connection; the runner takes it from the first frame and repeats it. The
length counts the bytes of the JSON, which is ASCII without newlines. What
login shells, sudo or banners print before the first answer is noise: it does
not have the nonce. After the first frame each byte belongs to a frame. What
is no frame ends the connection, and the outcome of all that was asked on it
and not answered is *unknown*.

**Requests** have an id and up to 64 steps. The steps run one after the
other; requests run side by side::

    {"id": 7, "steps": [{"verb": "extend_lv", "seconds": 120,
                         "values": {"lv": "vg/lv", "size": 1073741824}}]}

**Answers** come one per step, when the step ends, and have an outcome:

``done``
    ``argv``, ``status``, ``stdout`` and ``stderr`` are those of the program.
    A verb without a program has its result as JSON in ``stdout``.
``refused``
    The step has changed nothing. Kinds: ``invalid`` (a value is not allowed),
    ``missing`` (a program cannot be started), ``busy`` (too many requests),
    ``late`` (no time left to start), ``stopping`` (the connection ended),
    ``glusterd`` (glusterd does not run; a console would wait for it),
    ``status`` (the program ended with another status than 0; its output is
    there).
``unknown``
    The step may have taken effect. Kinds: ``deadline``, ``signal`` (killed
    by somebody else), ``ended`` (a gluster console ended), ``garbled`` (an
    output is unreadable or too long), ``failed`` (a fault of the runner).
``skipped``
    The step was not started, because another one was not done.

The values of all steps are checked before the first step is started: a
request with an invalid step starts nothing.

**Deadlines.** Each program has a process group, which gets SIGTERM at the
deadline and SIGKILL 5 s later. What a hung disk keeps even then is left
behind; the answer comes 1 s later.

**The end of a connection** (of stdin, by a signal, by a broken frame) cancels
what was asked on it. Programs that only read are killed. A program that
changes something runs on until its end or deadline: one that is killed
half-way leaves more to repair than one that ends. No further step is started.
If the runner itself is killed, its programs go on without a deadline, and
consoles end with their input.

**Values** are checked against the names that the driver makes, the volume
groups and brick roots that the installer wrote to
:data:`manila_glusterfs_clone.node.SETTINGS_PATH`, and the report of LVM. No
value begins with ``-``, except names of back ends, which follow ``--``. There
is no shell. No symbolic link below a root is followed.
"""

#: The release of this program. Increase it with each change of a verb.
RELEASE = 1
#: The oldest release that a driver may have been made with. Increase it when
#: a verb that drivers use is removed or gets other values.
OLDEST_SERVED = 1
