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
"""``python3 -m tests.soak MINUTES``: soak a cluster of four nodes.

It brings a lab with Manila up and takes it down. The exit status is 1 if a
check failed. With the same seed users make the same choices and faults come in
the same order; their timing depends on the machine.
"""

import argparse
from collections.abc import Sequence
import pathlib
import secrets
import sys

from tests import lab as lab_module
from tests.lab import manila as manila_module
from tests.lab.manila import backends
from tests.lab.manila import settings
from tests.soak.ledger import Ledger
from tests.soak import run
from tests.soak.strangers import Strangers

LOG = pathlib.Path(__file__).parents[2] / '.soak.log'


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser('python3 -m tests.soak')
    parser.add_argument('minutes', type=float)
    parser.add_argument('--release', default='11.1', help='of GlusterFS')
    parser.add_argument('--seed', default=secrets.token_hex(4))
    parser.add_argument('--users', type=int, default=4)
    parser.add_argument('--log', type=pathlib.Path, default=LOG)
    chosen = parser.parse_args(arguments)
    service_log = chosen.log.with_suffix('.manila-share.log')
    ledger = Ledger(chosen.log)
    ledger.note(
        'soak',
        f'{chosen.minutes:g} minutes on GlusterFS {chosen.release}',
        f'seed {chosen.seed}',
    )
    with lab_module.Lab(chosen.release, nodes=4, clients=2, say=print) as lab:
        strangers = Strangers(lab, ledger)
        strangers.settle_in()
        with manila_module.Manila(lab, say=print) as manila:
            _prepare(manila)
            try:
                run.Soak(
                    *(lab, manila, ledger),
                    users=chosen.users,
                    seed=chosen.seed,
                ).run(60 * chosen.minutes, strangers)
            finally:
                service_log.write_text(manila.service().log())
                if ledger.wrong or sys.exc_info()[0]:
                    _save_evidence(lab, chosen.log)
    print(ledger.summary())
    print(f'seed {chosen.seed}; the logs are {chosen.log} and {service_log}')
    ledger.close()
    return 1 if ledger.wrong else 0


def _prepare(manila: manila_module.Manila) -> None:
    """Have one back end, and maintenance every minute."""
    manila.set_option(
        backends.IP, 'glusterfs_clone_reconcile_interval', run.PASS
    )
    manila.share_out({settings.SHARE: (backends.IP,)})


def _save_evidence(lab: lab_module.Lab, log: pathlib.Path) -> None:
    """Save what glusterd on each node knows, and what it logged."""
    for node in lab.nodes:
        found = node.execute(
            'set +e; gluster snapshot info; gluster volume info; '
            'grep -r . /var/lib/glusterd/snaps; lvs -a -o +tags; '
            'tail -n 20000 /var/log/glusterfs/glusterd.log'
        )
        log.with_suffix(f'.{node.name}.log').write_text(found.out)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
