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
from manila.message import message_field
import pytest

from manila_glusterfs_clone.cluster import placement
from manila_glusterfs_clone import errors
from manila_glusterfs_clone.manila_api import arguments
from manila_glusterfs_clone.manila_api import exceptions
from manila_glusterfs_clone.operations import clone_sources
from manila_glusterfs_clone.operations import clones


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


@pytest.mark.parametrize(
    ('error', 'detail'),
    [
        (placement.InsufficientSpace('vg/a', {}), 'FILTER_CAPACITY'),
        (
            placement.TooFewNodesWithSpace('vg/a', {}, 'single', 1, 0),
            'FILTER_CAPACITY',
        ),
        (
            clones.SnapshotInOtherPool('s', 'vg/a', ('vg/b',)),
            'FILTER_CREATE_FROM_SNAPSHOT',
        ),
        (clone_sources.SnapshotNotFound('s'), 'FILTER_CREATE_FROM_SNAPSHOT'),
        (arguments.WrongProtocol('NFS', 'GLUSTERFS'), 'FILTER_CAPABILITIES'),
        (arguments.UnknownPool('h@b#vg/a', ('vg/b',)), 'UNKNOWN_ERROR'),
        (errors.NotPossible('no node'), 'UNKNOWN_ERROR'),
    ],
)
def test_user_message(error: errors.Error, detail: str) -> None:
    with pytest.raises(exception.ManilaException) as caught:
        with exceptions.translated('Creating share', 'x'):
            raise error
    assert (
        message_field.translate_detail_id(caught.value, None)
        == getattr(message_field.Detail, detail)[0]
    )


def test_other_exceptions_pass_through() -> None:
    with pytest.raises(ZeroDivisionError):
        with exceptions.translated('Creating share', 'x'):
            raise ZeroDivisionError
