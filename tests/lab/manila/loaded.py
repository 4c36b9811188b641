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
"""The ``openstack`` client, loaded once; each command is a fork of it.

Loading it takes a second or more of a CPU, most of the time of a short
command. It loads what its program loads, and a command starts where its
program starts.

The Python that the client is installed for runs this file, so it imports
nothing of the tests. It inherits a socket over which it receives other
sockets, one for each command. It ends when no process is left that could send
one.
"""

import contextlib
import importlib
import io
import json
import os
import signal
import socket
import sys
import tempfile
import traceback

#: A command that loads what others need, and asks no service for anything.
_LOADS = ('share', 'create', '--help')


def run(*argv: str) -> int:
    """Run a command in this process; return its exit status."""
    sys.argv = ['openstack', *argv]
    try:
        return int(importlib.import_module('openstackclient.shell').main())
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1


def answer(link: socket.socket) -> None:
    """Read a command, send the pid that runs it, and send its result."""
    with link, link.makefile('rwb') as talk:
        asked = json.loads(talk.readline())
        talk.write(b'%d\n' % os.getpid())
        talk.flush()
        os.environ.clear()
        os.environ.update(asked['env'])
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with open(os.devnull, 'rb') as nothing:
                os.dup2(nothing.fileno(), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            status = run(*asked['argv'])
            sys.stdout.flush()
            sys.stderr.flush()
            said = []
            for file in (out, err):
                file.seek(0)
                said.append(file.read().decode(errors='replace'))
        talk.write(json.dumps([status, *said]).encode())


def main(channel: socket.socket) -> None:
    # With its handlers of logs, which keep the stderr that they are given.
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        run(*_LOADS)
    # No one waits for those that are forked.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        said, received, _, _ = socket.recv_fds(channel, 1, 1)
        if not said:
            return
        with socket.socket(fileno=received[0]) as link:
            if os.fork() == 0:
                channel.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                answer(link)
                os._exit(0)


if __name__ == '__main__':
    # There is an openstack in this directory, too.
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))
    main(socket.socket(fileno=int(sys.argv[1])))
