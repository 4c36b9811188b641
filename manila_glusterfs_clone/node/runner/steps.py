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
"""One step: check LVs and directories, and run a program or a function."""

import json
import time
from typing import Any, Callable, Dict, List, Optional, Sequence

from manila_glusterfs_clone.node.runner import child_processes
from manila_glusterfs_clone.node.runner import directories
from manila_glusterfs_clone.node.runner import process_table
from manila_glusterfs_clone.node.runner import procfs
from manila_glusterfs_clone.node.runner import validation
from manila_glusterfs_clone.node.runner import verbs

#: The maximum length of a line for a gluster console, in bytes. A console cuts
#: a line of 1,024 bytes or more, and runs the rest as another command.
_LONGEST_LINE = 1000

Answer = Dict[str, Any]


def runs_in_console(words: Sequence[str]) -> bool:
    """Return whether a gluster console can run a command.

    A console cuts a long line in two, and prints the answer to "heal" only
    when the console ends.
    """
    return len(' '.join(words)) <= _LONGEST_LINE and words[1] != 'heal'


class Step:
    """One step of a request.

    :param given: the checked values.
    :param seconds: the time limit, at which the programs are killed.
    """

    def __init__(
        self,
        settings: validation.Settings,
        running: process_table.ProcessTable,
        verb: verbs.Verb,
        given: Dict[str, Any],
        seconds: float,
    ) -> None:
        self._settings = settings
        self._running = running
        self._verb = verb
        self._given = given
        self._until = time.monotonic() + seconds
        self._changes = verb.changes

    def carry_out(self) -> Answer:
        """Run the step, and return its answer.

        :raises NotDone: the step was refused, or its outcome is unknown.
        """
        verb, given = self._verb, self._given
        words = verb.words(**given)
        if 'words' in given:
            return self._gluster(words)
        function = verb.function
        if function is not None:
            call = function
            return self._run(words, lambda: call(self._settings, **given))
        if verb.own:
            self._require_own()
        if 'path' in given:
            self._require_no_link(given['path'])
        return self._run(words)

    def _require_own(self) -> None:
        """Require that LVs are thin volumes of the driver.

        :raises Invalid: an LV is no thin volume of the driver.
        """
        value = self._given[self._verb.own]
        lvs: List[str] = value if isinstance(value, list) else [value]
        answer = self._run(verbs.list_lvs(lvs))
        try:
            report = json.loads(answer['stdout'])['report']
            rows = {
                f'{row["vg_name"]}/{row["lv_name"]}': row
                for part in report
                for row in part['lv']
            }
            for lv in lvs:
                validation.require_own(self._settings, rows[lv])
                if 'path' in self._given:
                    validation.require_mount_point(
                        rows[lv], self._given['path']
                    )
        except (ValueError, KeyError, TypeError) as error:
            # Nothing was changed.
            raise validation.NotDone('refused', 'status', **answer) from error

    def _require_no_link(self, path: str) -> None:
        place = validation.place(self._settings, path)
        answer = self._run(
            ['find_link', path], lambda: directories.find_link(place)
        )
        link = json.loads(answer['stdout'])
        if link is not None:
            raise validation.Invalid(f'{link} is a symbolic link')

    def _gluster(self, words: Sequence[str]) -> Answer:
        """Run a command of gluster, in a console if a console can run it.

        The answer contains the outcome; the exit status does not.
        """
        if procfs.is_glusterd_down(self._settings):
            raise validation.NotDone('refused', 'glusterd', argv=words)
        asked: List[str] = self._given['words']
        line = ' '.join(asked)
        self._changes = validation.gluster_changes(asked)
        if not runs_in_console(asked):
            # "--" ends the options. Without it, the program would read a value
            # that begins with "--" as an option.
            return self._run([*child_processes.CONSOLE, '--', *asked])
        self._require_time(words)
        end, console = self._running.ask(
            line, self._until, changes=self._changes
        )
        answer = _evidence(words, console)
        if end != 'marked':
            kind = 'deadline' if end == 'late' else 'ended'
            raise validation.NotDone('unknown', kind, **answer)
        text, mark, rest = answer['stdout'].partition(child_processes.END)
        is_cut = console.stdout.is_cut
        if is_cut or rest.strip():
            # The rest would be taken for the answer to the next line.
            self._running.end(console)
        else:
            self._running.keep(console)
        if is_cut:
            raise validation.NotDone('unknown', 'garbled', **answer)
        return {**answer, 'status': 0, 'stdout': text + mark}

    def _run(
        self,
        words: Sequence[str],
        function: Optional[Callable[[], Any]] = None,
    ) -> Answer:
        self._require_time(words)
        process = self._running.start(words, function, changes=self._changes)
        try:
            process.end_input()
            end = process.wait(self._until)
        finally:
            self._running.forget(process)
        answer = _evidence(words, process)
        if end == 'late':
            raise validation.NotDone('unknown', 'deadline', **answer)
        if process.status is None or process.status < 0:
            raise validation.NotDone('unknown', 'signal', **answer)
        if function is not None and process.status == 2:
            raise validation.NotDone('unknown', 'failed', **answer)
        if process.status and not self._verb.accepts_any_status:
            raise validation.NotDone('refused', 'status', **answer)
        if process.stdout.is_cut:
            raise validation.NotDone('unknown', 'garbled', **answer)
        return answer

    def _require_time(self, words: Sequence[str]) -> None:
        if time.monotonic() >= self._until:
            raise validation.NotDone('refused', 'late', argv=words)


def _evidence(
    words: Sequence[str], process: child_processes.Process
) -> Answer:
    return {
        'argv': list(words),
        'status': process.status,
        'stdout': process.stdout.text(),
        'stderr': process.stderr.text(),
    }
