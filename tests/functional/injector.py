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
"""Connections to real nodes that inject a fault at one step.

An :class:`Injector` stands for one manila-share process from start to end.
Every request of the driver to a node goes through it, is counted, and is run
on the node. The planned step gets the fault.

Power cuts, deaths of glusterd, hanging commands and lost connections are real.
Garbled answers, and refusals without a cause, are made here.
"""

from collections.abc import Callable, Sequence
from collections import Counter
import dataclasses
import pathlib
import threading
import time
from typing import Any, TypeVar, cast
from unittest import mock

from manila_glusterfs_clone import errors
from manila_glusterfs_clone import node as node_files
from manila_glusterfs_clone.node.runner import verbs
from manila_glusterfs_clone.ssh import commands
from manila_glusterfs_clone.ssh import greetings
from tests.fault_table import kinds
from tests.fault_table import steps
from tests.functional import fault_plans
from tests.functional import manila_stand_in
from tests import lab as lab_module

T = TypeVar('T')

#: Seconds; what takes less is over before anything could be done to it.
_NOTICEABLE = 0.3
#: Seconds that a command has which is made to hang.
_PATIENCE = 3.0
#: The name of the runner's processes.
_RUNNER = pathlib.PurePath(node_files.RUNNER_PATH).name
#: Seconds for which glusterd is gone, or stopped, until it goes on.
_GLUSTERD_AWAY = 6.0

_REFUSAL = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<cliOutput>'
    '<opRet>-1</opRet><opErrno>30800</opErrno><opErrstr>Pre-validation '
    'failed on localhost. Please check log file for details</opErrstr>'
    '</cliOutput>'
)


class Killed(BaseException):
    """The calling process was killed."""


class Injector:
    """One manila-share process, with its connections to the nodes."""

    def __init__(self, lab: lab_module.Lab) -> None:
        self.lab = lab
        self.dead = False
        #: Each step since the last :meth:`begin`, and the seconds it took.
        self.seen: dict[fault_plans.Step, float] = {}
        self.struck = False
        #: Seconds that a node is without power when it is cut.
        self.dark = 0.0
        self._nodes = {node.address: node for node in lab.nodes}
        self._links: list[Link] = []
        self._plan: fault_plans.Plan | None = None
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._repairs: list[threading.Thread] = []

    def open_driver(self, conf: str) -> Any:
        """Make a driver that runs in this process."""
        with mock.patch.object(commands, 'Remote', self._connect):
            return manila_stand_in.open_driver(conf, manila_stand_in.IP)

    def _connect(
        self,
        address: commands.Address,
        credentials: commands.Credentials,
        *,
        sudo: bool = True,
    ) -> 'Link':
        link = Link(address, credentials, sudo=sudo)
        link.injector = self
        link.node = self._nodes[address.host]
        self._links.append(link)
        return link

    def begin(self, plan: fault_plans.Plan | None = None) -> None:
        """Reset the counters, and plan a fault."""
        with self._lock:
            self.seen = {}
            self._counts.clear()
            self._plan = plan
            self.struck = False

    def settle(self) -> None:
        """Wait until the faults of the nodes have ended."""
        self.begin()
        for repair in self._repairs:
            repair.join()
        if self._repairs:
            self._repairs.clear()
            self.lab.wait_connected(240)

    def die(self) -> None:
        """End as a killed process does: the kernel closes its sockets."""
        self.dead = True
        for link in self._links:
            link.close()

    def step(
        self,
        link: 'Link',
        argv: Sequence[str],
        timeout: float,
        action: Callable[[float], T],
    ) -> T:
        """Run one step, or inject the fault."""
        argv = tuple(argv)
        name = steps.name(link.node.name, argv, self.lab.nodes[0].name)
        with self._lock:
            if self.dead:
                raise Killed
            step = fault_plans.Step(
                link.node.name,
                name,
                self._counts[name],
                fault_plans.is_read(argv),
            )
            self._counts[name] += 1
            plan = self._plan
            if plan is not None and plan.step == step and not self.struck:
                self.struck = True
            else:
                plan = None
        begun = time.monotonic()
        try:
            if plan is None:
                return action(timeout)
            return self._strike(plan, link, argv, timeout, action)
        finally:
            self.seen[step] = time.monotonic() - begun
            if self.dead:
                raise Killed

    def _strike(
        self,
        plan: fault_plans.Plan,
        link: 'Link',
        argv: tuple[str, ...],
        timeout: float,
        action: Callable[[float], T],
    ) -> T:
        match plan.fault:
            case kinds.Fault.KILLED_BEFORE:
                self.die()
                raise Killed
            case kinds.Fault.KILLED_AFTER:
                try:
                    action(timeout)
                finally:
                    self.die()
                raise Killed
            case kinds.Fault.LINK_CUT:
                self._meanwhile(plan, link.close, action, timeout)
                link.close()
                raise errors.LinkLost(link.name, argv, 'the link was cut')
            case kinds.Fault.POWER_CUT:
                self._meanwhile(
                    plan, lambda: self._cut(link.node), action, timeout
                )
                link.close()
                raise errors.LinkLost(link.name, argv, 'no answer came')
            case kinds.Fault.GLUSTERD_KILLED:
                return self._without_glusterd(plan, action, timeout)
            case kinds.Fault.HANGS:
                return self._hanging(plan, link, argv, action)
            case kinds.Fault.GARBLED:
                return _garbled(action(timeout))
            case kinds.Fault.REFUSED:
                return cast(T, _refused(link, argv, plan.step))

    def _meanwhile(
        self,
        plan: fault_plans.Plan,
        disturb: Callable[[], None],
        action: Callable[[float], T],
        timeout: float,
    ) -> T:
        """Inject the fault during a long step, or after a short one."""
        once = _Once(disturb)
        if plan.took < _NOTICEABLE:
            answer = action(timeout)
            once()
            return answer
        timer = threading.Timer(plan.took / 2, once)
        timer.start()
        try:
            return action(timeout)
        finally:
            once()
            timer.join()

    # -- what is done to nodes, and undone soon after

    def _later(self, seconds: float, repair: Callable[[], object]) -> None:
        def run() -> None:
            time.sleep(seconds)
            repair()

        thread = threading.Thread(target=run)
        thread.start()
        self._repairs.append(thread)

    def _cut(self, node: lab_module.StorageNode) -> None:
        node.crash()
        self._later(self.dark, node.boot)

    def _without_glusterd(
        self,
        plan: fault_plans.Plan,
        action: Callable[[float], T],
        timeout: float,
    ) -> T:
        writer = self.lab.nodes[0]
        once = _Once(writer.kill_glusterd)
        timer = threading.Timer(plan.took / 2, once)
        if plan.took >= _NOTICEABLE and plan.step.is_gluster:
            timer.start()
        else:
            once()
        # The command line does not miss the daemon that it has asked, and
        # waits for two minutes.
        timeout = min(timeout, 2 * _GLUSTERD_AWAY)
        # systemd would start it again after a minute.
        self._later(_GLUSTERD_AWAY, writer.start_glusterd)
        try:
            return action(timeout)
        finally:
            timer.cancel()
            once()

    def _hanging(
        self,
        plan: fault_plans.Plan,
        link: 'Link',
        argv: tuple[str, ...],
        action: Callable[[float], T],
    ) -> T:
        node = link.node
        if plan.step.is_gluster:
            node.succeed('kill -STOP $(cat /run/glusterd.pid)')
            goes_on = 'kill -CONT $(cat /run/glusterd.pid)'
            self._later(_GLUSTERD_AWAY, lambda: node.succeed(goes_on))
            return action(_PATIENCE)
        if argv[0] not in verbs.PROGRAMS:
            # The runner itself does it, and hangs: it goes on later.
            node.succeed(f'pkill -STOP -x {_RUNNER}')
            goes_on = f'pkill -CONT -x {_RUNNER} || :'
            self._later(_GLUSTERD_AWAY, lambda: node.succeed(goes_on))
            return action(_PATIENCE)
        # A program that hangs: on one node with, on others without effect.
        program = f'$(readlink -f $(command -v {argv[0]}))'
        real, stub = f'/run/injected-{argv[0]}', f'/run/hangs-{argv[0]}'
        first = node is self.lab.nodes[0]
        effect = f'exec -a {argv[0]} {real} "$@"' if first else ':'
        node.put(f'#!/bin/bash\n({effect})\nsleep 600\n', stub, 0o755)
        node.succeed(f'cp -a {program} {real}; mount --bind {stub} {program}')
        try:
            return action(_PATIENCE)
        finally:
            # The stub can be that of umount, and can still run.
            umount = real if argv[0] == 'umount' else 'umount'
            node.succeed(f'{umount} --lazy {program}; rm -f {real} {stub}')


class _Once:
    """Runs an action on the first call, from whichever thread."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self._lock = threading.Lock()
        self._done = False

    def __call__(self) -> None:
        with self._lock:
            if not self._done:
                self._done = True
                self._action()


class Link(commands.Remote):
    """A real connection to a real node."""

    injector: Injector
    node: lab_module.StorageNode

    def run(
        self, step: commands.Step, *, timeout: float = 60.0
    ) -> commands.Result:
        untimed_step = dataclasses.replace(step, timeout=None)

        def action(seconds: float) -> commands.Result:
            (result,) = super(Link, self).run_all(
                [untimed_step], timeout=seconds
            )
            return result

        return self.injector.step(
            self, step.argv, step.timeout or timeout, action
        )

    def run_all(
        self, the_steps: Sequence[commands.Step], *, timeout: float = 60.0
    ) -> list[commands.Result]:
        # A fault can occur at each of the steps.
        return [self.run(step, timeout=timeout) for step in the_steps]

    def greet(self) -> greetings.Greeting:
        return self.injector.step(
            self, ['hello'], 15.0, lambda seconds: super(Link, self).greet()
        )


def _garbled(answer: T) -> T:
    if not isinstance(answer, commands.Result):
        return answer
    output = answer.stdout
    if output.endswith('</cliOutput>'):
        made = '\0 no XML at all' + output[output.rindex('<') :]
    else:
        made = output[: len(output) // 2]
    return cast(T, dataclasses.replace(answer, stdout=made))


def _refused(
    link: Link, argv: tuple[str, ...], step: fault_plans.Step
) -> object:
    if not step.is_gluster:
        raise errors.CommandFailed(
            link.name, argv, 5, '', '  Input/output error\n'
        )
    return commands.Result(link.name, argv, 1, _REFUSAL, '')
