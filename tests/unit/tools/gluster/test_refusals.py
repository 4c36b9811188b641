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
"""Recognising the refusals of glusterd by number or text."""

from xml.etree import ElementTree

import pytest

from manila_glusterfs_clone import errors
from manila_glusterfs_clone.tools.gluster import refusals
from tests.unit import fakes


@pytest.mark.parametrize(
    ('errno', 'message', 'kind'),
    [
        (30802, '', errors.Busy),
        (
            0,
            'Another transaction is in progress for golden. Please try '
            'again after some time.',
            errors.Busy,
        ),
        (
            30800,
            'Another transaction could be in progress. Please try again '
            'after some time.',
            errors.Busy,
        ),
        (30800, 'Locking failed on gl2. Please check log', errors.Busy),
        # Refused before anything was done.
        (
            30800,
            'Pre Validation failed on gl2. Volume x does not exist',
            errors.GlusterRefused,
        ),
        (30811, '', errors.AlreadyExists),
        (30812, '', errors.AlreadyExists),
        (30806, '', errors.NotFound),
        (30807, '', errors.NotFound),
        (30800, 'Volume (x) does not exist', errors.NotFound),
        # Near misses: none of these is about a missing volume.
        (
            30800,
            'option : auth.x does not exist',
            errors.GlusterRefused,
        ),
        (30800, 'Brick gl1:/b does not exist', errors.GlusterRefused),
        (
            30800,
            'Brick: gl1:/b not available. Brick may be containing or be '
            'contained by an existing brick.',
            errors.GlusterRefused,
        ),
        (30800, 'Volume x already started', errors.GlusterRefused),
        (30800, '/b is already part of a volume', errors.GlusterRefused),
    ],
)
def test_error_class(
    errno: int, message: str, kind: type[errors.GlusterRefused]
) -> None:
    assert refusals.error_class(errno, message) is kind
    assert not refusals.is_partially_done(message)


@pytest.mark.parametrize(
    ('recording', 'refusal'),
    [
        ('volume-start-again', refusals.ALREADY_STARTED),
        ('volume-profile-start-again', refusals.ALREADY_STARTED),
        ('volume-profile-stop-again', refusals.NOT_STARTED),
        ('snapshot-activate-again', refusals.ALREADY_ACTIVATED),
        ('snapshot-deactivate-again', refusals.ALREADY_DEACTIVATED),
        ('snapshot-create-exists', refusals.ALREADY_EXISTS),
        ('snapshot-info-missing', refusals.NOT_FOUND),
    ],
)
def test_recorded_refusals_match(
    release: str, recording: str, refusal: refusals.Refusal
) -> None:
    root = ElementTree.fromstring(
        fakes.golden(release, recording).answer.stdout
    )
    errno = int(root.findtext('opErrno') or 0)
    message = root.findtext('opErrstr') or ''
    assert refusal.matches(errno, message)
    with refusals.suppress(refusal):
        raise errors.GlusterRefused('gl1', (), errno, message)


def test_suppress_only_these_refusals() -> None:
    refused = errors.GlusterRefused('gl1', (), 0, 'Volume x already started')
    with refusals.suppress(refusals.NOT_STARTED, refusals.ALREADY_STARTED):
        raise refused
    with pytest.raises(errors.GlusterRefused):
        with refusals.suppress(refusals.NOT_STARTED):
            raise refused
    with pytest.raises(errors.LinkLost):
        with refusals.suppress(refusals.ALREADY_STARTED):
            raise errors.LinkLost('gl1', (), 'already started')
