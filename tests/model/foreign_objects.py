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
"""Record the objects of others in a cluster, and find changes to them.

Everything that exists when :meth:`ForeignObjects.of` looks is foreign:
volumes, snapshots, LVs, mounts, directories and brick processes. None of it
may ever change, whatever is done to the rest of the cluster.
"""

from collections.abc import Iterator
import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.model import model_cluster
    from tests.model import model_node

#: What there is, by kind and name, and how it is.
Picture = dict[tuple[str, str], object]


@dataclasses.dataclass(frozen=True)
class ForeignObjects:
    """The foreign objects of a cluster; none by default."""

    picture: Picture = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, pool: 'model_cluster.ModelCluster') -> 'ForeignObjects':
        """Record all objects in a cluster as foreign."""
        return cls(_picture(pool))

    def has(self, kind: str, name: str) -> bool:
        """Return whether an object is foreign.

        :param kind: volume or snapshot; LV, mount, directory or process,
            after the name of the node and a blank.
        """
        return (kind, name) in self.picture

    def problems(self, pool: 'model_cluster.ModelCluster') -> Iterator[str]:
        """Yield changes of foreign objects; only LVs of a node that is off."""
        now, hidden = _picture(pool), _hidden(pool)
        for (kind, name), before in self.picture.items():
            after = now.get((kind, name))
            if after == before or kind in hidden:
                continue
            if kind.endswith('directory') and name.startswith('/run/'):
                continue  # it is gone after a boot, if nothing is mounted
            yield f'{kind} {name} of others was {before}, and is {after}'


def _hidden(pool: 'model_cluster.ModelCluster') -> set[str]:
    """Return the kinds that cannot be seen while a node is off."""
    return {
        f'{node.name} {kind}'
        for node in pool.nodes.values()
        if not node.serves
        for kind in ('mount', 'directory', 'process')
    }


def _picture(pool: 'model_cluster.ModelCluster') -> Picture:
    found: Picture = {}
    for volume in pool.state.volumes.values():
        found['volume', volume.name] = repr(volume)
    for snapshot in pool.state.snapshots.values():
        found['snapshot', snapshot.name] = repr(snapshot)
    for node in pool.nodes.values():
        found |= _on_node(node)
    return found


def _on_node(node: 'model_node.ModelNode') -> Picture:
    found: Picture = {}
    for lv in node.lvm.lvs.values():
        found[f'{node.name} LV', lv.name] = (
            *(lv.size, lv.pool, lv.origin, sorted(lv.tags)),
            repr(lv.live or lv.disk),
        )
    for mount in node.files.mounts:
        found[f'{node.name} mount', mount.target] = mount.lv
    for path in list(node.files.directories):
        found[f'{node.name} directory', path] = 'there'
    for path, ends in node.files.users.items():
        found[f'{node.name} process', path] = ends
    return found
