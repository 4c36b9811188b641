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
"""Manila's own options in the section of a back end."""

from collections.abc import Callable, Iterator
import pathlib
import re
import types
from typing import Any

from manila import exception
from manila.scheduler.evaluator import evaluator
from manila.share import configuration
from manila.share import driver
from oslo_config import cfg
import pyparsing
import pytest

from manila_glusterfs_clone import findings
from manila_glusterfs_clone.manila_api import manila_options
from manila_glusterfs_clone import options

CONF = cfg.CONF
GROUP = 'unit_section'


@pytest.fixture
def file(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    yield tmp_path / 'manila.conf'
    CONF.reset()


def read(file: pathlib.Path, text: str) -> Any:
    """Return the section of a manila.conf."""
    file.write_text(f'{text}\n')
    made = configuration.Configuration(driver.share_opts, config_group=GROUP)
    made.append_config_values(options.OPTS)
    CONF([], project='manila', default_config_files=[str(file)])
    return made


def mistakes(file: pathlib.Path, text: str) -> list[str]:
    mistakes, _ = manila_options.find_problems(read(file, text))
    return [each.subject for each in mistakes]


def faults(file: pathlib.Path, text: str) -> list[str]:
    _, faults = manila_options.find_problems(read(file, text))
    return [each.subject for each in faults]


USUAL = f'[{GROUP}]\ndriver_handles_share_servers = False\n'


def test_no_mistakes(file: pathlib.Path) -> None:
    made = read(file, f'{USUAL}reserved_share_percentage = 100')
    manila_options.require_readable(made, 'gold')
    assert manila_options.find_problems(made) == ([], [])


@pytest.mark.parametrize('value', ['True', None])
def test_share_servers(file: pathlib.Path, value: str | None) -> None:
    line = f'driver_handles_share_servers = {value}' if value else ''
    assert mistakes(file, f'[{GROUP}]\n{line}') == [
        'driver_handles_share_servers'
    ]


@pytest.mark.parametrize('value', ['-1', '101'])
@pytest.mark.parametrize(
    'name',
    [
        option.name
        for option in driver.share_opts
        if option.name.startswith('reserved_')
    ],
)
def test_percentages(file: pathlib.Path, name: str, value: str) -> None:
    assert mistakes(file, f'{USUAL}{name} = {value}') == [name]


def test_ratio_that_old_releases_of_manila_accept(
    file: pathlib.Path,
) -> None:
    made = read(file, f'{USUAL}max_over_subscription_ratio = 1')
    assert manila_options.find_problems(made) == ([], [])
    values = {
        option.dest: getattr(made, option.dest) for option in driver.share_opts
    }
    values['max_over_subscription_ratio'] = 0.5
    (mistake,), _ = manila_options.find_problems(
        types.SimpleNamespace(**values)
    )
    assert mistake.subject == 'max_over_subscription_ratio'


#: Functions, and whether Manila can evaluate each.
FUNCTIONS = {
    'stats.total_capacity_gb > 10 and share.size < 9': True,
    '50': True,
    '100 / (stats.free_capacity_gb - 1)': True,
    "extra.tier == 'gold' ? 100 : capabilities.anything": True,
    'min(100, stats.free_capacity_gb)': True,
    'share.size <': False,
    'volume.size < 9': False,
    'share.size is 9': False,
    'unknown(share.size)': False,
    '2 <': False,
}
#: The examples of the documentation.
EXAMPLES = dict(
    re.findall(
        r'^    (filter_function|goodness_function) = (.*)$',
        (
            pathlib.Path(__file__).parents[3]
            / 'doc'
            / 'source'
            / 'manila-options.rst'
        ).read_text(),
        re.MULTILINE,
    )
)


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Manila evaluate variables, whichever pyparsing is installed.

    Version 3.3.3 takes a name for that of a function, and does not try again
    if no argument follows.
    """
    if manila_options._is_parser_broken():
        infix_notation: Any = pyparsing.infixNotation

        def with_brackets(operand: Any, levels: list[Any]) -> Any:
            (function, *rest), *others = levels
            call = function + pyparsing.FollowedBy('(')
            return infix_notation(operand, [(call, *rest), *others])

        monkeypatch.setattr(pyparsing, 'infixNotation', with_brackets)
        monkeypatch.setattr(evaluator, '_parser', None)
    assert not manila_options._is_parser_broken()


@pytest.mark.usefixtures('variables')
@pytest.mark.parametrize(('function', 'is_valid'), FUNCTIONS.items())
@pytest.mark.parametrize(
    ('name', 'find'),
    [('filter_function', mistakes), ('goodness_function', faults)],
)
def test_functions(
    file: pathlib.Path,
    name: str,
    find: Callable[[pathlib.Path, str], list[str]],
    function: str,
    is_valid: bool,
) -> None:
    expected = [] if is_valid else [name]
    assert find(file, f'{USUAL}{name} = {function}') == expected
    # The function of [DEFAULT] is that of all back ends without their own.
    text = f'[DEFAULT]\n{name} = {function}\n{USUAL}'
    assert find(file, text) == expected
    assert not find(file, f'{text}{name} = 50')
    other = faults if find is mistakes else mistakes
    assert not other(file, text)


@pytest.mark.usefixtures('variables')
@pytest.mark.parametrize('name', ['filter_function', 'goodness_function'])
def test_examples_of_the_documentation(name: str) -> None:
    pool = {'free_capacity_gb': 25.0, 'total_capacity_gb': 100.0}
    results = [
        evaluator.evaluate(EXAMPLES[name], stats=pool, share={'size': size})
        for size in (99, 100)
    ]
    expected = [False, True] if name == 'filter_function' else [25, 25]
    assert results == expected


def test_variables_cannot_be_evaluated(
    file: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyparsing 3.3.3 raises this for each function with a variable."""
    evaluate = evaluator.evaluate

    def evaluate_constants(function: str, **values: object) -> object:
        if '.' in function:
            raise exception.EvaluatorParseException(reason='ParseException')
        return evaluate(function, **values)

    monkeypatch.setattr(evaluator, 'evaluate', evaluate_constants)
    for name in ('filter_function', 'goodness_function'):
        text = f'{USUAL}{name} = share.size < 9'
        assert not mistakes(file, text)
        assert faults(file, text) == [name]
        assert not faults(file, f'{USUAL}{name} = 90')
    assert not faults(file, USUAL)


def test_all_unreadable_values_are_in_one_error(file: pathlib.Path) -> None:
    made = read(
        file,
        f'{USUAL}reserved_share_percentage = few\n'
        f'glusterfs_clone_ssh_port = ssh',
    )
    with pytest.raises(findings.Misconfigured) as caught:
        manila_options.require_readable(made, 'gold')
    assert {each.subject for each in caught.value.mistakes} == {
        'reserved_share_percentage',
        'glusterfs_clone_ssh_port',
    }


def test_a_section_is_read_once(
    file: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGHUP makes Manila read mutable options again, and there are none."""
    made = read(file, f'{USUAL}glusterfs_clone_pools = vg/a')
    assert not [
        each.name
        for each in (*driver.share_opts, *options.OPTS)
        if each.mutable
    ]
    file.write_text(f'{USUAL}glusterfs_clone_pools = vg/b\n')
    CONF.mutate_config_files()
    assert made.glusterfs_clone_pools == ['vg/a']
    assert 'Ignoring change to immutable option' in caplog.text


def test_service_host() -> None:
    made = configuration.Configuration([], config_group=GROUP)
    assert manila_options.service_host(made) == f'{CONF.host}@{GROUP}'
