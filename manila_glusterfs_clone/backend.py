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
"""One back end: its services, its set-up checks and its maintenance."""

from collections.abc import Collection, Iterable, Mapping, Sequence
import dataclasses
from typing import Any

from oslo_log import log

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import fault_log
from manila_glusterfs_clone import findings
from manila_glusterfs_clone.maintenance import pass_records
from manila_glusterfs_clone.maintenance import passes
from manila_glusterfs_clone.operations import services
from manila_glusterfs_clone import options
from manila_glusterfs_clone.preflight import cluster_advice
from manila_glusterfs_clone.preflight import severity
from manila_glusterfs_clone.preflight import startup_checks
from manila_glusterfs_clone.tools import gluster

LOG = log.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class EnsuredShares:
    """The result of :meth:`Backend.ensure_shares`."""

    #: By share id: the volume, or the error of its healing. A share is missing
    #: if its state could not be read.
    states: Mapping[str, gluster.Volume | errors.Error] = dataclasses.field(
        default_factory=dict
    )
    #: The ids of shares whose rules Manila has to apply again.
    waiting_share_ids: Collection[str] = ()


@dataclasses.dataclass(frozen=True)
class Backend:
    """The services and the maintenance of one back end."""

    services: services.Services
    maintenance: passes.Maintenance

    @classmethod
    def open(
        cls,
        settings: options.Settings,
        private_storage: Any | None,
        service_host: str,
    ) -> 'Backend':
        """Return a back end, without connecting to nodes or starting threads.

        :param private_storage: Manila's private storage of the driver; None if
            there is no database.
        :param service_host: the name of the service in Manila:
            ``HOST@BACKEND``.
        """
        the_services = services.open_services(settings, private_storage)
        records = pass_records.PassRecords(private_storage, service_host)
        return cls(
            the_services,
            passes.Maintenance(the_services, service_host, records),
        )

    def check(
        self,
        mistakes: Iterable[findings.Finding] = (),
        faults: Sequence[findings.Finding] = (),
    ) -> None:
        """Verify the configuration, and log current faults of the cluster.

        :param mistakes: the mistakes in Manila's own options.
        :param faults: the faults in Manila's own options.
        :raises findings.Misconfigured: the configuration has mistakes, which
            the error lists.
        """
        self.services.health.report({fault_log.OPTIONS: faults})
        startup_checks.run(
            self.services.settings,
            self.services.cluster,
            self.services.health,
            type(self.services.protocol),
            mistakes,
        )

    def inspect(
        self,
        mistakes: Iterable[findings.Finding] = (),
        faults: Sequence[findings.Finding] = (),
    ) -> tuple[severity.Problem, ...]:
        """Return all problems of the back end, the most serious first.

        Run the checks of :meth:`check`, the checks that are too slow for a
        start, and the checks for problems that must not prevent a start. The
        parameters are those of :meth:`check`.
        """
        the_services = self.services
        the_services.health.report({fault_log.OPTIONS: faults})
        found = startup_checks.examine(
            the_services.settings,
            the_services.cluster,
            the_services.health,
            type(the_services.protocol),
            mistakes,
        )
        advice = cluster_advice.find(
            the_services.settings, the_services.cluster, found.views
        )
        return severity.problems(
            found.mistakes, the_services.health.faults, advice
        )

    def start(self) -> None:
        """Start maintenance; call this once, after the process has forked."""
        self.maintenance.start()

    def ensure_shares(self, share_ids: Collection[str]) -> EnsuredShares:
        """Bring shares online, and correct access lists; never raise."""
        states: Mapping[str, gluster.Volume | errors.Error] = {}
        waiting_share_ids: Collection[str] = ()
        try:
            waiting_share_ids = self.maintenance.shares_with_waiting_rules()
            states = self.maintenance.ensure_shares(share_ids)
        except errors.Error as error:
            LOG.error(
                'Back end %s: reading the state of its shares failed; their '
                'statuses stay unchanged: %s',
                self.services.settings.backend,
                error,
            )
        except Exception:
            LOG.exception(
                'Back end %s: reading the state of its shares failed; their '
                'statuses stay unchanged',
                self.services.settings.backend,
            )
        return EnsuredShares(states, waiting_share_ids)

    def close(self) -> None:
        """Stop maintenance, and close all connections to the nodes.

        Do not wait for a pass in progress.
        """
        self.maintenance.stop()
        self.services.close()
