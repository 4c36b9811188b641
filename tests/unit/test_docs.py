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
"""Configuration that the documentation shows can be used as it stands."""

from collections.abc import Iterator
import configparser
import itertools
import pathlib
import re
import textwrap

from oslo_utils import importutils
import pytest

from manila_glusterfs_clone.cmd import exit_status
from manila_glusterfs_clone.cmd import main
from manila_glusterfs_clone.cmd import metric_families
from manila_glusterfs_clone.maintenance import differences
from manila_glusterfs_clone import options

ROOT = pathlib.Path(__file__).parents[2]
PAGES = (*ROOT.glob('*.rst'), *ROOT.glob('doc/source/*.rst'))
OWN_OPTIONS = {option.name for option in options.OPTS}


def literal_blocks(text: str) -> Iterator[str]:
    """Yield the indented text after each line that ends with two colons."""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if line.endswith('::') and not line.lstrip().startswith('..'):
            first = next(filter(None, lines[number:]), '')
            indent = first[: len(first) - len(first.lstrip())]
            block = itertools.takewhile(
                lambda each: not each or each.startswith(indent),
                lines[number:],
            )
            yield textwrap.dedent('\n'.join(block)).strip()


def configurations() -> list[str]:
    """Return the literal blocks that begin with the head of a section."""
    return [
        block
        for page in PAGES
        for block in literal_blocks(page.read_text())
        if re.match(r'\[\w+\]', block)
    ]


@pytest.mark.parametrize('text', configurations())
def test_a_configuration_in_the_docs_can_be_used(text: str) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(text)
    for section in parser.sections():
        own = {
            name
            for name in parser[section]
            if name.startswith('glusterfs_clone_')
        }
        assert own <= OWN_OPTIONS
        if name := parser[section].get('share_driver'):
            importutils.import_class(name)


def test_the_readme_shows_a_back_end() -> None:
    assert any('share_driver' in text for text in configurations())


COMMANDS_PAGE = ROOT / 'doc/source/operator-commands.rst'
#: Options of cliff, which "help" describes.
_CLIFF_OPTIONS = {
    *('--help', '--quote', '--noindent', '--max-width', '--fit-width'),
    *('--print-empty', '--sort-ascending', '--sort-descending'),
}


@pytest.mark.parametrize('name', main.COMMANDS)
def test_every_command_and_its_options_are_documented(name: str) -> None:
    text = COMMANDS_PAGE.read_text()
    assert f'``{name}``' in text
    app = main.OperatorApp()
    command_class, _, _ = app.command_manager.find_command(name.split())
    parser = command_class(app, None).get_parser(name)
    for action in parser._actions:
        for option in action.option_strings:
            if option.startswith('--') and option not in _CLIFF_OPTIONS:
                assert option in text, option


def test_every_exit_status_is_documented() -> None:
    text = COMMANDS_PAGE.read_text()
    for status in exit_status.ExitStatus:
        assert re.search(rf'^{status.value} {{7}}\S', text, re.MULTILINE)


def test_every_metric_and_difference_is_documented() -> None:
    text = COMMANDS_PAGE.read_text()
    for name in metric_families.FAMILIES:
        assert f'``{name}``' in text, name
    for kind in differences.KINDS:
        assert re.search(rf'^{kind}  ', text, re.MULTILINE), kind
