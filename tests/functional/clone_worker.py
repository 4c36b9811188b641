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
"""One of several processes that clone a snapshot at once.

Arguments: the path of manila.conf, the ids of the snapshot and of its
share, and the ids of the shares to make, each in a thread of its own. Says
in JSON what became of each.
"""

from concurrent import futures
import json
import sys

from tests.functional import cloud as cloud_module


def main() -> None:
    """Make the clones."""
    conf, snapshot_id, parent_id, *ids = sys.argv[1:]
    driver = cloud_module.open_driver(conf, cloud_module.IP)
    cloud = cloud_module.Cloud(driver, cloud_module.IP)
    parent = cloud_module.Share(parent_id, 1, cloud_module.POOL)
    snapshot = cloud_module.Snapshot(snapshot_id, parent)

    def clone(share_id: str) -> str:
        try:
            cloud.clone(snapshot, share_id=share_id)
        except Exception as error:
            return str(error)
        return 'made'

    with futures.ThreadPoolExecutor(len(ids)) as threads:
        outcomes = dict(zip(ids, threads.map(clone, ids), strict=True))
    print(json.dumps(outcomes))


if __name__ == '__main__':
    main()
