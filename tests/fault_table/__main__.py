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
"""``python3 -m tests.fault_table``: print the table of faults, or document it.

``show FILE...`` prints the content of the files. Its exit status is 1 if a
cell is broken or the files have no cell. ``document FILE...`` writes the
tables of the documentation.
"""

import argparse
from collections.abc import Sequence
import pathlib
import sys

from tests.fault_table import render
from tests.fault_table import table

DOCS = pathlib.Path(__file__).parents[2] / 'doc' / 'source'


def main(arguments: Sequence[str], docs: pathlib.Path = DOCS) -> int:
    parser = argparse.ArgumentParser('python3 -m tests.fault_table')
    parser.add_argument('verb', choices=['show', 'document'])
    parser.add_argument('file', nargs='+', type=pathlib.Path)
    chosen = parser.parse_args(arguments)
    cells = table.read(*chosen.file)
    runs = table.read_runs(*chosen.file)
    if chosen.verb == 'document':
        render.document(cells, runs, docs)
    else:
        sys.stdout.write(render.show(cells, runs))
    return 1 if not cells or table.broken(cells) else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
