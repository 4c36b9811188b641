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
"""A program that takes locks as one host of manila-share does.

It starts Manila's coordinator and then forks, as manila-share does. The child
runs the commands that it reads from its standard input.
"""

import contextlib
import json
import os
import subprocess
import sys
from typing import Any

from manila import coordination
from oslo_config import cfg

from manila_glusterfs_clone.locking import locks

ID = 'aaaaaaaa-0000-4000-8000-000000000000'


class Host:
    """A process that takes locks, on a host of its own.

    :param url: of the coordinator.
    :param lock_path: nobody else's.
    """

    def __init__(self, url: str, lock_path: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, '-W', 'ignore', '-m', __name__, url, lock_path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.pid = int(self._read())

    def take(self, instance: str = ID, timeout: float = 0) -> str:
        """Try to take the lock of a share; return the error, if any."""
        return str(self._ask('take', instance, timeout))

    def require(self) -> str:
        """Check the lock; return the error, if any."""
        return str(self._ask('require'))

    def release(self) -> str:
        """Release the lock; return the error, if any."""
        return str(self._ask('release'))

    def stop_coordinator(self) -> str:
        """Stop Manila's coordinator, as manila-share does at its end."""
        return str(self._ask('stop_coordinator'))

    def close(self) -> None:
        """End the process, if it runs."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait(30)

    def _ask(self, *words: object) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + '\n')
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


class _Child:
    """The commands of the child."""

    def __init__(self) -> None:
        self._mutex = locks.Locks(0)
        self._stack = contextlib.ExitStack()
        self._lock: locks.Hold | None = None

    def take(self, instance: str, timeout: float) -> None:
        self._lock = self._stack.enter_context(
            self._mutex.share(instance, timeout=timeout)
        )

    def require(self) -> None:
        assert self._lock is not None
        self._lock.require()

    def release(self) -> None:
        self._stack.close()

    def stop_coordinator(self) -> None:
        coordination.LOCK_COORDINATOR.stop()

    def serve(self) -> None:
        print(os.getpid(), flush=True)
        for line in sys.stdin:
            word, *more = json.loads(line)
            try:
                getattr(self, word)(*more)
                said = ''
            except Exception as error:
                said = type(error).__name__
            print(json.dumps(said), flush=True)


def _main(url: str, lock_path: str) -> None:
    cfg.CONF([], project='unit', default_config_files=[])
    cfg.CONF.set_override('lock_path', lock_path, group='oslo_concurrency')
    cfg.CONF.set_override('backend_url', url, group='coordination')
    coordination.LOCK_COORDINATOR.start()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    else:
        _Child().serve()
    # The threads of the coordinator do not count.
    sys.stdout.flush()
    os._exit(0)


if __name__ == '__main__':
    _main(*sys.argv[1:])
