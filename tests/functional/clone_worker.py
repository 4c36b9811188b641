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
"""A program that clones a snapshot, run several times at once.

Arguments: the path of manila.conf, the ids of the snapshot and of its
share, and the ids of the shares to make, each in its own thread. Prints the
outcome of each as JSON.
"""

from concurrent import futures
import json
import sys

from tests.functional import manila_stand_in


def main() -> None:
    """Make the clones."""
    conf, snapshot_id, parent_id, *ids = sys.argv[1:]
    driver = manila_stand_in.open_driver(conf, manila_stand_in.IP)
    manila = manila_stand_in.ManilaStandIn(driver, manila_stand_in.IP)
    parent = manila_stand_in.Share(parent_id, 1, manila_stand_in.POOL)
    snapshot = manila_stand_in.Snapshot(snapshot_id, parent)

    def clone(share_id: str) -> str:
        try:
            manila.clone(snapshot, share_id=share_id)
        except Exception as error:
            return str(error)
        return 'made'

    with futures.ThreadPoolExecutor(len(ids)) as threads:
        outcomes = dict(zip(ids, threads.map(clone, ids), strict=True))
    print(json.dumps(outcomes))


if __name__ == '__main__':
    main()
