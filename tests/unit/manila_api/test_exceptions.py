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
"""Errors of the driver as exceptions of Manila."""

from manila import exception
import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.manila_api import exceptions


def test_an_error_becomes_an_exception_of_manila(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(exception.ShareBackendException) as caught:
        with exceptions.translated('Creating share', 'x'):
            raise errors.NotPossible('no node')
    sentence = 'Creating share x failed: no node'
    assert sentence in str(caught.value)
    (record,) = caplog.records
    assert record.levelname == 'ERROR'
    assert record.getMessage() == sentence


def test_the_caller_may_choose_the_exception() -> None:
    with pytest.raises(exception.UnmanageInvalidShare):
        with exceptions.translated(
            'Unmanaging share',
            'x',
            lambda message: exception.UnmanageInvalidShare(reason=message),
        ):
            raise errors.NotPossible('no node')


def test_other_exceptions_pass_through() -> None:
    with pytest.raises(ZeroDivisionError):
        with exceptions.translated('Creating share', 'x'):
            raise ZeroDivisionError
