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
"""The page of the docs with the results, and its plots."""

from collections.abc import Iterable, Sequence
import pathlib
import textwrap

from tests.benchmarks.results import Result

_DOCS = pathlib.Path(__file__).parents[2] / 'doc' / 'source'
#: What each case shows, for the heading of its table and plot.
TITLES = {
    'clone': 'Create a share from a snapshot',
    'larger-clone': 'Create a larger share from a snapshot',
    'eight-clones-of-one-snapshot': 'Eight clones of one snapshot at once',
    'eight-clones-of-eight-snapshots': (
        'Eight clones of eight snapshots at once'
    ),
    'other-operations': 'The other operations',
}

_HEAD = """\
.. Made by python3 -m tests.benchmarks document, which overwrites it.

==========
Benchmarks
==========

How long an operation takes, next to the bare commands of GlusterFS and LVM,
typed by hand as root. The bare commands check nothing and clean up after no
failure. They wait only until a denied client is disconnected. A round runs
each variant once, in an order that rotates; a ratio divides two figures of the
same round. Each field shows the smallest, the median and the largest value.

The nodes of the lab share the processors of one machine, and are slow. Compare
the ratios, not the seconds. "in-tree driver" is Manila's own driver for native
GlusterFS; its one call that GlusterFS 10 and later refuse is left out.
"ours" is the time until the driver answers Manila. "until all is put away"
includes the deactivation of the snapshot after the answer, but not the pause
before it.

``tools/bench`` runs these benchmarks.
"""


def write(
    all_results: Sequence[Result], directory: pathlib.Path = _DOCS
) -> None:
    """Write the page, and a plot per result beside it."""
    plots = directory / 'benchmarks'
    plots.mkdir(exist_ok=True)
    parts = [_HEAD]
    for result in all_results:
        name = f'{result.case}-{result.release}.svg'
        draw(result, plots / name)
        parts += _section(result, f'benchmarks/{name}')
    (directory / 'benchmarks.rst').write_text('\n'.join(parts))


def _section(result: Result, plot: str) -> Iterable[str]:
    title = f'{TITLES[result.case]}, GlusterFS {result.release}'
    machine = ', '.join(
        f'{key} {value}' for key, value in result.machine.items()
    )
    yield f'{title}\n{"-" * len(title)}\n'
    yield textwrap.fill(f'{len(result.rounds)} rounds; {machine}', 79) + '\n'
    yield f'.. image:: {plot}\n   :alt: Seconds of each variant\n'
    yield from _table('Figure', 'Seconds', result.seconds().items())
    yield from _table(
        'Ratio',
        'Quotient',
        (
            (f'{top} ÷ {bottom}', spread)
            for (top, bottom), spread in result.quotients().items()
        ),
    )


def _table(
    head: str, values: str, rows: Iterable[tuple[str, object]]
) -> Iterable[str]:
    yield '.. list-table::\n   :header-rows: 1\n   :widths: 60 40\n'
    yield f'   * - {head}\n     - {values}'
    for name, spread in rows:
        yield f'   * - {name}\n     - {spread}'
    yield ''


def draw(result: Result, path: pathlib.Path) -> None:
    """Draw the median of each figure as a bar, with the range as a line."""
    # Only this needs matplotlib; see tests/benchmarks/requirements.txt.
    import matplotlib
    from matplotlib import figure

    # Text stays text, and the same result makes the same file.
    matplotlib.rcParams.update({'svg.fonttype': 'none', 'svg.hashsalt': 'x'})
    seconds = result.seconds()
    names = list(seconds)[::-1]
    medians = [seconds[name].median for name in names]
    ranges = [
        [seconds[name].median - seconds[name].smallest for name in names],
        [seconds[name].largest - seconds[name].median for name in names],
    ]
    drawing = figure.Figure(figsize=(7, 0.8 + 0.35 * len(names)))
    axes = drawing.subplots()
    axes.barh(names, medians, xerr=ranges, capsize=3)
    axes.set_xlabel('seconds: median, smallest and largest')
    drawing.savefig(
        path, bbox_inches='tight', metadata={'Date': None, 'Creator': None}
    )
