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
"""A thread that repeats one action."""

import threading

import pytest

from manila_glusterfs_clone.maintenance import periodic_thread

WAIT = 10


def test_it_goes_on_after_an_error_and_ends_when_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    thrice = threading.Event()
    done: list[threading.Thread] = []

    def act() -> None:
        done.append(threading.current_thread())
        if len(done) == 3:
            found.stop()
            thrice.set()
        raise ValueError('bad luck')

    found = periodic_thread.PeriodicThread(act, 0.001, 'Maintenance of x')
    found.start()
    assert thrice.wait(WAIT)
    thread = done[0]
    thread.join(WAIT)
    assert not thread.is_alive()
    assert done == [thread] * 3
    assert thread is not threading.current_thread()
    # It keeps no process from ending.
    assert thread.daemon
    assert {record.args for record in caplog.records} == {
        ('Maintenance of x', 0.001)
    }


def test_stopped_in_the_interval_it_does_nothing() -> None:
    done: list[None] = []
    before = set(threading.enumerate())
    found = periodic_thread.PeriodicThread(
        lambda: done.append(None), 3600, 'x'
    )
    found.start()
    (thread,) = set(threading.enumerate()) - before
    found.stop()
    thread.join(WAIT)
    assert not thread.is_alive()
    assert not done
