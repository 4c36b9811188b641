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
"""The results of a run of tempest.

Run as a script, by the Python of tempest's environment, it reads a subunit
stream and prints a line of JSON for each test.
"""

from collections.abc import Iterator
import csv
from dataclasses import dataclass
import json
from pathlib import Path
import re
import sys
import time
from typing import Any

HERE = Path(__file__).parent

#: Tests that no driver can pass, and what they find wrong; and what tempest
#: says of tests that it skips, with the reason for that. Both are in the
#: documentation, too.
EXCLUDED, SKIPPED = HERE / 'excluded.csv', HERE / 'skipped.csv'

#: How many lines of a service's log are shown for a failure.
LOG_LINES = 100


@dataclass(frozen=True)
class Result:
    """A test, or a class of which every test was skipped.

    :param status: 'success', 'fail' or 'skip', among others.
    :param said: why it was skipped, or how it failed.
    :param seconds: that it took.
    :param begun: when it began, in seconds since the epoch; 0 if unknown.
    """

    name: str
    status: str
    said: str
    seconds: float
    begun: float = 0


def parse(lines: str) -> list[Result]:
    """The results that the script has printed."""
    return [Result(**json.loads(line)) for line in lines.splitlines()]


def rows(path: Path) -> list[list[str]]:
    """What is in one of the two tables; a pattern, and why, come last.

    The documentation wants patterns in quotes of its own.
    """
    with path.open(newline='') as file:
        return [[each.strip('`') for each in row] for row in csv.reader(file)]


def excluded(name: str) -> list[str]:
    """The patterns of what is left out of a pass."""
    return [
        pattern
        for which, pattern, _ in rows(EXCLUDED)
        if which in ('all', name)
    ]


def unexplained(results: list[Result]) -> list[Result]:
    """The tests that were skipped for a reason that is not in the table."""
    known = [re.compile(pattern) for pattern, _ in rows(SKIPPED)]
    return [
        result
        for result in results
        if result.status == 'skip'
        and not any(pattern.search(result.said) for pattern in known)
    ]


def log_of_first_failure(results: list[Result], log: str) -> list[str]:
    """Return what a service logged while the first failed test ran.

    Later failures are often caused by the first.

    :param log: of the whole run; lines that begin with a local time.
    """
    failed = [result for result in results if result.status == 'fail']
    if not failed:
        return []
    first = min(failed, key=lambda result: result.begun)
    begun, ended = (
        time.strftime('%F %T', time.localtime(seconds))
        for seconds in (first.begun - 5, first.begun + first.seconds + 5)
    )
    lines = [line for line in log.splitlines() if begun <= line <= ended]
    return [f'logged during {first.name}:', *lines[:LOG_LINES]]


def _main() -> Iterator[str]:
    # Of tempest's environment alone.
    import subunit  # type: ignore[import-not-found]
    import testtools  # type: ignore[import-not-found]

    found: list[dict[str, Any]] = []
    stream = testtools.StreamToDict(found.append)
    stream.startTestRun()
    subunit.ByteStreamToStreamResult(
        sys.stdin.buffer, non_subunit_name='stdout'
    ).run(stream)
    stream.stopTestRun()
    for test in found:
        if test['status'] == 'exists':
            continue
        said = {
            name: detail.as_text()
            for name, detail in test['details'].items()
            if name in ('reason', 'traceback')
        }
        begun, ended = test['timestamps']
        took = (ended - begun).total_seconds() if begun and ended else 0
        yield json.dumps(
            {
                'name': test['id'],
                'status': test['status'],
                'said': '\n'.join(said.values()),
                'seconds': took,
                'begun': begun.timestamp() if begun else 0,
            }
        )


if __name__ == '__main__':
    for line in _main():
        print(line)
