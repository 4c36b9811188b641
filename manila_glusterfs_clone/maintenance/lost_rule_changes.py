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
"""Repeat changes of access rules whose request a stopped service lost.

manila-share removes a request from the message queue before it starts the
work. If the service is stopped at that moment, the request is lost, and the
rule stays in ``queued_to_apply`` or ``queued_to_deny``: a denied client keeps
its access until another rule of the share changes, or the service starts.

When manila-share starts, it sets the ``access_rules_status`` of a share with a
rule in ``error`` to ``syncing``. If the share has no rule to change,
manila-share does not set the status again.

If the service is stopped while it changes the level of a rule, the rule stays
in ``updating``. As long as a rule of a share is in ``updating``, Manila does
not change any rule of the share. When manila-share starts, it repeats the
changes of rules in ``applying`` and ``denying``, but not in ``updating``.
"""

from oslo_log import log

from manila_glusterfs_clone.maintenance import backoff
from manila_glusterfs_clone.maintenance import instances
from manila_glusterfs_clone.maintenance import manila_db

LOG = log.getLogger(__name__)

#: A status counts as wrong after this many seconds, because manila-share sets
#: the status a moment after it has changed the last rule.
_WRONG_STATUS_SECONDS = 60.0


class LostRuleChanges:
    """Repeats the lost changes of access rules of one back end.

    :param service_host: the name of the service in Manila: ``HOST@BACKEND``.
    """

    def __init__(
        self, the_backoff: backoff.Backoff, *, service_host: str
    ) -> None:
        self._backoff = the_backoff
        self._service_host = service_host

    def queue_interrupted(self) -> None:
        """Put rules in ``updating`` back into the queue.

        Call this when manila-share starts, and before it takes requests: then
        no service works on these rules.
        """
        for share_id, access_id in manila_db.updating_rules(
            self._service_host
        ):
            LOG.warning(
                'Share %s: a service restart interrupted the change of access '
                'rule %s; manila-share changes the rule again',
                share_id,
                access_id,
            )
            instances.queue_rule_update(share_id, access_id)

    def find(self) -> list[str]:
        """Return the ids of shares that have rules to apply or to deny.

        The requests for these rules are in the message queue, or lost.
        """
        return sorted(manila_db.shares_with_queued_rules(self._service_host))

    def repeat(self, *, is_requested: bool = False) -> None:
        """Ask manila-share to apply rules that have waited for too long.

        :param is_requested: whether an operator wants this now. Then a request
            counts as lost in the second pass that finds the rules.
        """
        for share_id in self.find():
            key = 'queued rules', share_id
            # Use another key, because each of the two methods records that its
            # key came up.
            came_up_before = self._backoff.came_up_before(('found', *key))
            waiting_seconds = self._backoff.seconds_since_first(key)
            is_lost = waiting_seconds >= instances.REPEAT_AFTER_SECONDS or (
                is_requested and came_up_before
            )
            if not is_lost or not self._backoff.is_retry_due(key):
                continue
            LOG.warning(
                'Share %s: access rules have been waiting for %.0f s to be '
                'applied or denied, and no service works on them; asking '
                'manila-share to change them',
                share_id,
                waiting_seconds,
            )
            instances.ask_to_apply_rules(share_id, self._service_host)

    def find_wrong_statuses(self) -> dict[str, str]:
        """Return the right ``access_rules_status`` of shares with a wrong one.

        :return: ``error`` or ``active``, by the id of the share.
        """
        return manila_db.wrong_rules_statuses(self._service_host)

    def correct_statuses(self, *, is_requested: bool = False) -> None:
        """Correct the status of shares that are syncing without a rule change.

        :param is_requested: whether an operator wants this now. Then the
            second pass that finds a wrong status corrects it.
        """
        for share_id, status in sorted(self.find_wrong_statuses().items()):
            key = 'status of rules', share_id
            came_up_before = self._backoff.came_up_before(('found', *key))
            seconds = self._backoff.seconds_since_first(key)
            if seconds < _WRONG_STATUS_SECONDS and not (
                is_requested and came_up_before
            ):
                continue
            LOG.warning(
                'Share %s: its access_rules_status is syncing, but Manila has '
                'no access rule to apply or deny; setting the status to %s',
                share_id,
                status,
            )
            instances.set_rules_status(share_id, status)
