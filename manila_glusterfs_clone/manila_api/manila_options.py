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
"""Check Manila's own options in the section of a back end.

Manila reads most of these options when it needs them. So a wrong value could
make requests fail. It could prevent the scheduler from choosing the back end,
although manila-share logs nothing. Or it could end the service: manila-share
does not catch errors of the statistics when it starts. This module reports all
mistakes together at set-up, and other back ends of the service keep working.
"""

from collections.abc import Iterator
from typing import Any

from manila import exception
from manila.scheduler.evaluator import evaluator
from manila.share import driver
from oslo_config import cfg

from manila_glusterfs_clone import findings
from manila_glusterfs_clone import options

CONF = cfg.CONF

_PERCENTAGES = (
    'reserved_share_percentage',
    'reserved_share_from_snapshot_percentage',
    'reserved_share_extend_percentage',
)
#: By option: what the scheduler does if it cannot evaluate the function.
_EFFECTS = {
    'filter_function': 'never choose this back end',
    'goodness_function': 'rate this back end with 0',
}


def service_host(configuration: Any) -> str:
    """Return the name of a back end's service (manila/cmd/share.py)."""
    return f'{CONF.host}@{configuration.config_group}'


def require_readable(configuration: Any, backend: str) -> None:
    """Verify that oslo.config accepts all values of a section.

    :param configuration: the section of the back end.
    :raises findings.Misconfigured: oslo.config does not accept a value.
    """
    mistakes = []
    for option in (*driver.share_opts, *options.OPTS):
        try:
            getattr(configuration, option.dest)
        except (cfg.Error, ValueError) as error:
            mistakes.append(
                findings.Finding(option.name, 'invalid', str(error))
            )
    if mistakes:
        raise findings.Misconfigured(backend, mistakes)


def find_problems(
    configuration: Any,
) -> tuple[list[findings.Finding], list[findings.Finding]]:
    """Return the mistakes and the faults in Manila's own options.

    A goodness function that cannot be evaluated is only a fault: the scheduler
    can still choose the back end.

    :param configuration: the section of the back end; its values are readable.
    """
    mistakes = [*_find_wrong_values(configuration)]
    faults: list[findings.Finding] = []
    is_parser_broken = _is_parser_broken()
    for name, effect in _EFFECTS.items():
        # Manila uses the function of [DEFAULT] if the section has none.
        function = getattr(configuration, name) or getattr(CONF, name)
        if not function or not (problem := _parse_error(function)):
            continue
        message = f'{function!r} cannot be evaluated, so the scheduler'
        if is_parser_broken:
            message += (
                f' will {effect} if its host has this version of pyparsing, '
                f'too: Manila cannot evaluate variables with it; install '
                f'pyparsing 3.3.2 on all hosts of Manila'
            )
        else:
            message += f' would {effect}: {problem}; correct it'
        is_fault = is_parser_broken or name == 'goodness_function'
        (faults if is_fault else mistakes).append(
            findings.Finding(name, 'invalid', message)
        )
    return mistakes, faults


def _find_wrong_values(configuration: Any) -> Iterator[findings.Finding]:
    if configuration.driver_handles_share_servers is not False:
        yield findings.Finding(
            'driver_handles_share_servers',
            'invalid',
            f'is {configuration.driver_handles_share_servers}; set it to '
            f'False, because the driver does not make share servers',
        )
    for name in _PERCENTAGES:
        if not 0 <= (percentage := getattr(configuration, name)) <= 100:
            yield findings.Finding(
                name, 'invalid', f'is {percentage}; set 0 to 100'
            )
    # Later Manila releases refuse such a value when it is read.
    if (ratio := configuration.max_over_subscription_ratio) < 1:
        yield findings.Finding(
            'max_over_subscription_ratio',
            'invalid',
            f'is {ratio:g}; set 1 or more',
        )


class _AnyValue(dict[str, int]):
    """Values of a pool, a share or a share type whose names are unknown."""

    def __missing__(self, key: str) -> int:
        return 1


def _parse_error(function: str) -> str | None:
    """Return why Manila cannot evaluate a function of the scheduler.

    The values of pools and share types are not known here. So report only
    errors that do not depend on values.
    """
    try:
        _evaluate(function)
    except exception.EvaluatorParseException as error:
        if 'ZeroDivisionError' not in str(error):
            return str(error)
    except KeyError as error:
        return f'no function or operator {error}'
    except Exception:
        return None  # for example, a number is compared with a text
    return None


def _evaluate(function: str) -> Any:
    """Evaluate a function as the scheduler does; all its variables are 1."""
    return evaluator.evaluate(
        function,
        **{
            name: _AnyValue()
            for name in ('extra', 'stats', 'capabilities', 'share')
        },
    )


def _is_parser_broken() -> bool:
    """Return whether Manila fails to evaluate every function with variables.

    It fails with pyparsing 3.3.3 (pyparsing issue 672).
    """
    try:
        return not _evaluate('share.size < 2')
    except exception.EvaluatorParseException:
        return True
