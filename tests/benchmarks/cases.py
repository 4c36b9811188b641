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
"""The cases: which operation, in which variants, and which ratios.

The figures of a case are seconds, by a name such as ``'by hand'``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
import contextlib
import dataclasses
import functools
import statistics
import time
import uuid

from manila_glusterfs_clone import names
from manila_glusterfs_clone.operations import snapshot_deactivation
from tests.benchmarks.by_hand import ByHand
from tests.benchmarks.in_tree import InTreeDriver
from tests.functional.manila_stand_in import ManilaStandIn, Share, Snapshot
from tests.functional import test_clone
from tests import lab as lab_module

Figures = dict[str, float]

OURS, BY_HAND, IN_TREE = 'ours', 'by hand', 'in-tree driver'
PUT_AWAY = 'ours, until all is put away'
FIRST, MEAN, LAST = 'ours, first', 'ours, mean', 'ours, last'

_MIB = 100
_EIGHT = 8
#: Seconds between two looks at a snapshot that will be deactivated.
_LOOK = 0.25


@dataclasses.dataclass(frozen=True)
class Case:
    """One operation, ready to run.

    :param variants: each removes what it made before it returns.
    :param ratios: pairs of figures; the first is divided by the second.
    """

    variants: Mapping[str, Callable[[], Figures]]
    ratios: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Setting:
    """Where the cases run.

    :param manila: calls our driver.
    """

    lab: lab_module.Lab
    manila: ManilaStandIn

    @property
    def hand(self) -> ByHand:
        return ByHand(self.lab)


@contextlib.contextmanager
def _timed(figures: Figures, name: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    figures[name] = time.monotonic() - begun


def _new_volume() -> str:
    return names.volume(str(uuid.uuid4()))


@contextlib.contextmanager
def _origin(setting: Setting, snapshot_count: int) -> Iterator[list[Snapshot]]:
    """Make a share with some data and snapshots; remove all at the end."""
    manila = setting.manila
    share = manila.create(1)
    test_clone.fill(setting.lab, manila, share, _MIB)
    snapshots = [manila.snapshot(share) for _ in range(snapshot_count)]
    yield snapshots
    setting.lab.client('c1').umount('/mnt/origin')
    manila.delete(*snapshots, share)


# -- one clone


@contextlib.contextmanager
def _clone(setting: Setting, size: int) -> Iterator[Case]:
    manila, hand = setting.manila, setting.hand
    with _origin(setting, 1) as (snapshot,):
        name = names.snapshot(snapshot.id)
        is_grown = size > snapshot.share.size

        def ours() -> Figures:
            figures: Figures = {}
            with _timed(figures, PUT_AWAY):
                with _timed(figures, OURS):
                    clone = manila.clone(snapshot, size)
                while hand.is_active(name):
                    time.sleep(_LOOK)
            # The driver waits for further clones, and does nothing.
            figures[PUT_AWAY] -= snapshot_deactivation.LINGER_SECONDS
            manila.delete(clone)
            return figures

        def by_hand() -> Figures:
            figures: Figures = {}
            volume = _new_volume()
            with _timed(figures, BY_HAND):
                hand.activate(name)
                hand.clone(volume, name, size if is_grown else 0)
                hand.deactivate(name)
            hand.delete_clone(volume)
            return figures

        driver = InTreeDriver(setting.lab)
        # It requires that the origin has this option.
        hand.set_option(
            snapshot.share.volume, 'auth.ssl-allow', 'glusterfs-server'
        )

        def in_tree() -> Figures:
            figures: Figures = {}
            volume_id = str(uuid.uuid4())
            with _timed(figures, IN_TREE):
                driver.clone(volume_id, snapshot)
            hand.deactivate(name)
            hand.delete_clone(names.volume(volume_id))
            return figures

        variants = {OURS: ours, BY_HAND: by_hand}
        ratios = [(OURS, BY_HAND), (PUT_AWAY, BY_HAND)]
        # It clones at the size of the origin only.
        if not is_grown:
            variants[IN_TREE] = in_tree
            ratios.append((OURS, IN_TREE))
        yield Case(variants, ratios)


# -- several clones at once


@contextlib.contextmanager
def _eight_clones(setting: Setting, snapshot_count: int) -> Iterator[Case]:
    manila, hand = setting.manila, setting.hand
    with _origin(setting, snapshot_count) as snapshots:
        sources = (snapshots * _EIGHT)[:_EIGHT]
        snapshot_names = [names.snapshot(each.id) for each in snapshots]

        def ours() -> Figures:
            begun = time.monotonic()

            def clone(source: Snapshot) -> tuple[Share, float]:
                share = manila.clone(source)
                return share, time.monotonic() - begun

            with futures.ThreadPoolExecutor(_EIGHT) as threads:
                results = list(threads.map(clone, sources))
            seconds = [each for _, each in results]
            manila.delete_side_by_side(*(share for share, _ in results))
            while any(map(hand.is_active, snapshot_names)):
                time.sleep(_LOOK)
            return {
                FIRST: min(seconds),
                MEAN: statistics.mean(seconds),
                LAST: max(seconds),
            }

        def by_hand() -> Figures:
            figures: Figures = {}
            volumes = [_new_volume() for _ in sources]
            with _timed(figures, BY_HAND):
                for volume, source in zip(volumes, sources, strict=True):
                    name = names.snapshot(source.id)
                    if volume == volumes[0] or snapshot_count > 1:
                        hand.activate(name)
                    hand.clone(volume, name)
            for volume in volumes:
                hand.delete_clone(volume)
            for name in snapshot_names:
                hand.deactivate(name)
            return figures

        yield Case(
            {OURS: ours, BY_HAND: by_hand}, [(LAST, BY_HAND), (MEAN, LAST)]
        )


# -- the other operations

_LIFE = (
    'create',
    'extend',
    'allow',
    'deny',
    'create snapshot',
    'delete snapshot',
    'delete share',
)


@contextlib.contextmanager
def _life(setting: Setting) -> Iterator[Case]:
    """Every other operation, in one life of a share."""
    manila, hand = setting.manila, setting.hand
    client = setting.lab.client('c1')
    at = '/mnt/bench'

    def ours() -> Figures:
        figures: Figures = {}
        step = functools.partial(_step, figures, OURS)
        with step('create'):
            share = manila.create(1)
        with step('allow'):
            manila.allow(share, client.address)
        client.mount(share.host, share.volume, at, share.options)
        with step('extend'):
            share = manila.extend(share, 2)
        with step('create snapshot'):
            snapshot = manila.snapshot(share)
        with step('deny'):
            manila.deny(share, client.address)
        client.umount(at)
        with step('delete snapshot'):
            manila.delete(snapshot)
        with step('delete share'):
            manila.delete(share)
        return figures

    def by_hand() -> Figures:
        figures: Figures = {}
        step = functools.partial(_step, figures, BY_HAND)
        volume, snapshot = _new_volume(), f'bench-{uuid.uuid4()}'
        with step('create'):
            hand.create(volume)
        with step('allow'):
            hand.set_option(volume, 'auth.allow', client.address)
        client.mount(setting.lab.nodes[0].name, volume, at)
        with step('extend'):
            hand.extend(volume, 2)
        with step('create snapshot'):
            hand.create_snapshot(snapshot, volume)
        with step('deny'):
            hand.deny(volume, client.address)
        client.umount(at)
        with step('delete snapshot'):
            hand.delete_snapshot(snapshot)
        with step('delete share'):
            hand.delete(volume)
        return figures

    yield Case(
        {OURS: ours, BY_HAND: by_hand},
        [(f'{step}, {OURS}', f'{step}, {BY_HAND}') for step in _LIFE],
    )


def _step(
    figures: Figures, variant: str, step: str
) -> contextlib.AbstractContextManager[None]:
    return _timed(figures, f'{step}, {variant}')


#: Each is a context manager: it makes what its variants need, and removes it.
CASES: dict[
    str, Callable[[Setting], contextlib.AbstractContextManager[Case]]
] = {
    'clone': lambda setting: _clone(setting, 1),
    'larger-clone': lambda setting: _clone(setting, 2),
    'eight-clones-of-one-snapshot': lambda setting: _eight_clones(setting, 1),
    'eight-clones-of-eight-snapshots': lambda setting: _eight_clones(
        setting, _EIGHT
    ),
    'other-operations': _life,
}
