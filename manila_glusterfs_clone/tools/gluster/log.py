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
"""Read the causes of failures from the log of glusterd.

If a change fails on the node that was asked, glusterd often answers only
``Commit failed on localhost. Please check log file for details``.
"""

import datetime
import re

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import step_outcomes
from manila_glusterfs_clone.tools import json_answers

#: Time limit in seconds.
TIMEOUT = 10.0
#: Errors that were logged this many seconds before the last line, or later,
#: belong to the command that failed.
_SECONDS = 2.0
_MAX_CHARACTERS = 600

#: The answers of glusterd that do not state the cause of a failure.
_NO_CAUSE = re.compile(r'failed on localhost\. Please check (the )?log file')
#: The beginning of errors that glusterd also logs if a command succeeds.
_NOISE = ('Dict get failed ',)
#: A line: time, level, message id (optional), place in the source, part of
#: glusterd, text.
_LINE = re.compile(
    r'^\[(?P<time>[0-9-]{10} [0-9:]{8}\.[0-9]{6}) \+0000\] (?P<level>[A-Z]) '
    r'(?:\[MSGID: \d+\] )?\[[^\]]*\] (?:\(-->.*?\) )?'
    r'\S*?\d+-[\w.-]+: (?P<text>.*?) *$',
    re.MULTILINE,
)


def has_cause(message: str) -> bool:
    """Return whether an answer of glusterd states the cause of a failure."""
    return not _NO_CAUSE.search(message)


def last_errors(text: str) -> str:
    """Return the last errors in the text of a log, without repetitions."""
    lines = [*_LINE.finditer(text)]
    if not lines:
        return ''
    first_time = _seconds(lines[-1]) - _SECONDS
    messages = dict.fromkeys(
        line['text']
        for line in lines
        if line['level'] in 'EC'
        and _seconds(line) >= first_time
        and not line['text'].startswith(_NOISE)
    )
    return '; '.join(messages)[:_MAX_CHARACTERS]


def read_last_errors(runner: circuit_breaker.CommandRunner) -> str:
    """Return the last errors that glusterd on a node logged.

    :return: empty if the log cannot be read.
    """
    step = step_outcomes.Step('read_glusterd_log', timeout=TIMEOUT)
    try:
        return last_errors(json_answers.value(runner.run(step), str))
    except errors.Error:
        return ''


def _seconds(line: re.Match[str]) -> float:
    """Return the time of a line, in seconds; 0 if the time is invalid."""
    try:
        return datetime.datetime.fromisoformat(line['time']).timestamp()
    except (ValueError, OverflowError):
        return 0.0
