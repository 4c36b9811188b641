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
"""Frames are found whatever comes before them, and however they are cut."""

import itertools
from typing import Any

import hypothesis
from hypothesis import strategies
import pytest

from manila_glusterfs_clone.node.runner import frames

NONCE = 'ab' * 16

JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.text(),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(strategies.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
CONTENTS = strategies.lists(
    strategies.dictionaries(strategies.text(), JSON, max_size=4), max_size=5
)


def read(
    data: bytes, cuts: list[int], nonce: str | None = NONCE
) -> tuple[list[dict[str, Any]], frames.Frames]:
    """Feed data in pieces."""
    reader = frames.Frames(nonce)
    found: list[dict[str, Any]] = []
    borders = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for begin, end in itertools.pairwise(borders):
        found += reader.feed(data[begin:end])
    return found, reader


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@hypothesis.given(
    noise=strategies.binary(max_size=300),
    contents=CONTENTS,
    cuts=strategies.lists(strategies.integers(0, 4000), max_size=9),
)
def test_noise_before_the_first_frame(
    noise: bytes, contents: list[dict[str, Any]], cuts: list[int]
) -> None:
    data = noise + b''.join(frames.frame(NONCE, c) for c in contents)
    found, reader = read(data, cuts)
    assert found == contents
    assert reader.is_whole
    assert (reader.noise().encode() == noise) is _is_text(noise)


@hypothesis.given(
    contents=CONTENTS.filter(bool),
    cuts=strategies.lists(strategies.integers(0, 4000), max_size=9),
    lost=strategies.integers(1, 4000),
)
def test_half_a_frame_is_no_frame(
    contents: list[dict[str, Any]], cuts: list[int], lost: int
) -> None:
    lines = [frames.frame(NONCE, content) for content in contents]
    lost = 1 + lost % (len(lines[-1]) - 1)
    found, reader = read(b''.join(lines)[:-lost], cuts)
    assert found == contents[:-1]
    # Less than the mark of a first frame may be noise as well.
    assert not reader.is_whole or len(lines[-1]) - lost <= len(NONCE) + 1


@hypothesis.given(
    contents=CONTENTS.filter(bool),
    foreign=strategies.binary(min_size=1, max_size=40),
    at=strategies.integers(0, 4000),
)
def test_foreign_bytes_never_make_another_frame(
    contents: list[dict[str, Any]], foreign: bytes, at: int
) -> None:
    """What is read is a part of what was sent, from its beginning on."""
    hypothesis.assume(b'\n' not in foreign)
    data = b''.join(frames.frame(NONCE, content) for content in contents)
    at %= len(data)
    reader = frames.Frames(None)
    found = []
    with pytest.raises(frames.Broken):
        for content in reader.feed(data[:at] + foreign + data[at:]):
            found.append(content)
        hypothesis.assume(False)  # it hides in what is to come
    assert found == contents[: len(found)]


@pytest.mark.parametrize(
    'line',
    [
        'hello\n',
        '@\n',
        '{"id": 1}\n',
        f'@{NONCE}\n',
        f'@{NONCE} 2\n',
        f'@{NONCE} 02 {{}}\n',
        f'@{NONCE} -2 {{}}\n',
        f'@{NONCE} 2 {{}}x',
        f'@{NONCE} 2 []\n',
        f'@{NONCE} 2 {{x\n',
        f'@{NONCE} 2 \x00\x00\n',
        f'@{NONCE.upper()} 2 {{}}\n',
        f'@{NONCE} {frames.LONGEST_REQUEST + 1} ',
        f'@{NONCE} 99999999999 ',
        f'@{NONCE} 200000 ' + '[' * 200000 + '\n',
        'x' * 100,
    ],
)
def test_what_is_no_frame(line: str) -> None:
    with pytest.raises(frames.Broken):
        list(frames.Frames().feed(line.encode()))


def test_a_frame_of_another_connection() -> None:
    reader = frames.Frames()
    assert list(reader.feed(frames.frame(NONCE, {}))) == [{}]
    with pytest.raises(frames.Broken):
        list(reader.feed(frames.frame('cd' * 16, {})))


@hypothesis.given(
    text=strategies.text('abc\n', max_size=300),
    cuts=strategies.lists(strategies.integers(0, 300), max_size=5),
)
def test_head_and_tail_of_an_output(text: str, cuts: list[int]) -> None:
    data = text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, 'EXCERPT', 10)
        output = frames.Output(30)
        borders = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
        for begin, end in itertools.pairwise(borders):
            output.add(data[begin:end])
        kept = output.text()
    assert output.is_cut == (len(data) > 30)
    if output.is_cut:
        cut = f'\n[{len(data) - 20} bytes cut out]\n'
        assert kept == text[:10] + cut + text[-10:]
    else:
        assert kept == text
