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
"""Evaluate the alert rules, as far as they need it.

Not PromQL: metrics with label matchers, numbers, ``time()``, ``+ - *``, one
comparison each, joined by ``and`` and ``or``. A sample of the first metric is
compared with the sample of the same back end of the other metrics.
"""

from collections.abc import Iterable, Mapping
import pathlib
import re
from typing import Any

import yaml

from manila_glusterfs_clone.cmd import metric_families

ETC = pathlib.Path(__file__).parents[2] / 'etc' / 'manila_glusterfs_clone'
RULES = ETC / 'prometheus-rules.yaml'

Labels = Mapping[str, str]
Samples = Iterable[tuple[str, Labels, float]]

_METRIC = re.compile(rf'({metric_families.PREFIX}\w+)(?:\{{([^}}]*)\}})?')
_MATCHER = re.compile(r'(\w+)(=~|!=|=)"([^"]*)"')


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    (group,) = yaml.safe_load(RULES.read_text())['groups']
    found: list[dict[str, Any]] = group['rules']
    return found


def firing(samples: Samples, now: float) -> set[str]:
    """Return the names of the alerts whose condition is true.

    :param samples: the name, labels and value of each.
    """
    known = list(samples)
    return {
        rule['alert'] for rule in rules() if _is_true(rule['expr'], known, now)
    }


def _is_true(expression: str, samples: Samples, now: float) -> bool:
    words = re.sub(r'on \(backend\)|group_left \(\)', '', expression)
    alternatives = words.split(' or ')
    return any(
        all(_holds(part, samples, now) for part in each.split(' and '))
        for each in alternatives
    )


def _holds(comparison: str, samples: Samples, now: float) -> bool:
    first, *others = _METRIC.finditer(comparison)
    return any(
        _compare(comparison, {first[0]: value}, labels, others, samples, now)
        for labels, value in _select(first, samples)
    )


def _compare(
    comparison: str,
    values: dict[str, float],
    labels: Labels,
    others: Iterable[re.Match[str]],
    samples: Samples,
    now: float,
) -> bool:
    for other in others:
        for other_labels, value in _select(other, samples):
            if other_labels['backend'] == labels['backend']:
                values[other[0]] = value
    text = comparison.replace('time()', str(now))
    for metric, value in sorted(
        values.items(), key=lambda item: -len(item[0])
    ):
        text = text.replace(metric, str(value))
    assert re.fullmatch(r'[-+*\d.e\s<>=]+', text), text
    return bool(eval(' '.join(text.split())))


def _select(
    metric: re.Match[str], samples: Samples
) -> Iterable[tuple[Labels, float]]:
    matchers = _MATCHER.findall(metric[2] or '')
    for name, labels, value in samples:
        if name == metric[1] and all(
            {
                '=': labels[label] == wanted,
                '!=': labels[label] != wanted,
                '=~': bool(re.fullmatch(wanted, labels[label])),
            }[operator]
            for label, operator, wanted in matchers
        ):
            yield labels, value
