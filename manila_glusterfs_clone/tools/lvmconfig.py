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
"""The settings of LVM on one node that limit new thin LVs (lvmconfig(8)).

Only this module reads the output of ``lvmconfig``. That program reads only the
configuration files of LVM, not the disks.

Observed on LVM 2.03.16 and 2.03.31, and read in the source
(``thin_pool_below_threshold`` in ``lib/metadata/thin_manip.c``,
``lv_extend_policy_calculate_percent`` in ``lib/metadata/lv_manip.c``):

* LVM creates no thin LV and no thin snapshot in a pool whose data or metadata
  is fuller than ``thin_pool_autoextend_threshold``, even if the volume group
  has free space. It still extends existing thin LVs.
* dmeventd extends a pool only above 50 %, even if the threshold is lower.
* An extension fails if the volume group lacks space for the whole extension.
* A pool can have a metadata profile with a threshold of its own. If the file
  of the profile is missing, the settings without the profile apply.

The field ``seg_monitor`` of ``lvs`` shows whether dmeventd monitors a pool.
This module does not read this field: ``lvs`` would query dmeventd, start
dmeventd if it is down, and wait for its answer.
"""

from collections.abc import Mapping
import dataclasses
import re
import threading
import time

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.node.runner import verbs
from manila_glusterfs_clone.ssh import circuit_breaker
from manila_glusterfs_clone.ssh import step_outcomes

_VALUE = re.compile(r'^(\w+)=(\d+)$', re.MULTILINE)
_NO_PROFILE = 'No such file or directory'

#: Time limit in seconds for all commands of one :meth:`LvmConfig.refresh`.
TIMEOUT = 5.0
#: If settings could not be read, read them again after this time, in seconds.
RETRY_AFTER = 30.0


@dataclasses.dataclass(frozen=True)
class AutoextendPolicy:
    """When LVM refuses new thin LVs in a pool, and how it extends the pool."""

    #: If the used part of the data or metadata space exceeds this percentage,
    #: LVM creates no thin LV in the pool; 100 for no limit.
    threshold: int
    #: The size of an automatic extension, in percent of the size of the pool.
    percent: int
    #: Whether dmeventd monitors thin pools. If not, LVM extends no pool
    #: automatically.
    is_monitoring: bool

    @property
    def is_automatic(self) -> bool:
        """Return whether LVM extends thin pools automatically."""
        return self.is_monitoring and self.threshold < 100 and self.percent > 0


#: LVM's default: no limit, and no automatic extension. The driver uses it for
#: a pool whose policy was never read. LVM still applies the real limit.
NO_POLICY = AutoextendPolicy(threshold=100, percent=20, is_monitoring=True)


@dataclasses.dataclass(frozen=True)
class _Reading:
    """The last attempt to read a policy."""

    #: The policy that was read last; :data:`NO_POLICY` if none was ever read.
    policy: AutoextendPolicy
    #: The monotonic time of the attempt.
    read_at: float
    #: Why the attempt failed; None if it succeeded.
    error: errors.Error | None = None


def parse_policy(text: str) -> AutoextendPolicy:
    """Parse the output of ``lvmconfig``.

    :raises ValueError: a setting is missing, or is not a number.
    """
    values = dict(_VALUE.findall(text))
    try:
        threshold, percent, monitoring = (
            int(values[setting.partition('/')[2]])
            for setting in verbs.LVM_SETTINGS
        )
    except KeyError as error:
        raise ValueError(f'no value of {error}') from error
    return AutoextendPolicy(
        threshold=min(threshold, 100),
        percent=percent,
        is_monitoring=monitoring != 0,
    )


class LvmConfig:
    """Reads and caches the settings of LVM on one node."""

    def __init__(self, runner: circuit_breaker.CommandRunner) -> None:
        self._runner = runner
        self._lock = threading.Lock()
        #: By the name of the metadata profile; ``''`` without a profile.
        self._readings: dict[str, _Reading] = {}

    def policy(self, profile: str) -> AutoextendPolicy:
        """Return the policy that was read last; run no command.

        :param profile: the metadata profile of the thin pool, or ``''``.
        :return: :data:`NO_POLICY` if the policy was never read.
        """
        with self._lock:
            reading = self._readings.get(profile)
        return reading.policy if reading else NO_POLICY

    def refresh(self, max_ages: Mapping[str, float]) -> errors.Error | None:
        """Read the policies that are older than their ``max_age``.

        All commands together may take :data:`TIMEOUT` seconds. The next call
        reads the policies that this call could not read in time. If a policy
        cannot be read, keep the policy that was read last.

        :param max_ages: seconds, by the name of the metadata profile, or
            ``''``.
        :return: why the last attempt to read one of the policies failed; None
            if all attempts succeeded.
        """
        failure: errors.Error | None = None
        deadline = time.monotonic() + TIMEOUT
        for profile, max_age in max_ages.items():
            with self._lock:
                reading = self._readings.get(profile)
            if reading is not None and reading.error:
                max_age = min(max_age, RETRY_AFTER)
            if reading is None or (
                time.monotonic() - reading.read_at >= max_age
            ):
                if time.monotonic() > deadline - 1:
                    break
                reading = self._attempt(profile, deadline)
            failure = failure or reading.error
        return failure

    def _attempt(self, profile: str, deadline: float) -> _Reading:
        try:
            policy = self._read(profile, deadline)
        except errors.Error as error:
            reading = _Reading(self.policy(profile), time.monotonic(), error)
        else:
            reading = _Reading(policy, time.monotonic())
        with self._lock:
            self._readings[profile] = reading
        return reading

    def _read(self, profile: str, deadline: float) -> AutoextendPolicy:
        """Read a policy.

        :raises errors.Error: LVM did not answer, or the answer is incomplete.
        """
        try:
            result = self._runner.run(
                step_outcomes.Step('lvm_settings', {'profile': profile}),
                timeout=max(1.0, deadline - time.monotonic()),
            )
        except errors.CommandFailed as error:
            if profile and _NO_PROFILE in error.stderr:
                return self._read('', deadline)
            raise
        try:
            return parse_policy(result.stdout)
        except ValueError as error:
            raise errors.Garbled(
                result.node, result.argv, result.stdout
            ) from error
