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
"""The alert rules and the dashboard use metrics that exist."""

import json
import pathlib
import re

import pytest
import yaml

from manila_glusterfs_clone.cmd import metric_families

ETC = pathlib.Path(__file__).parents[3] / 'etc' / 'manila_glusterfs_clone'
METRIC = re.compile(rf'{metric_families.PREFIX}(\w+)(?:\{{([^}}]*)\}})?')


def expressions() -> list[str]:
    (group,) = yaml.safe_load((ETC / 'prometheus-rules.yaml').read_text())[
        'groups'
    ]
    dashboard = json.loads((ETC / 'grafana-dashboard.json').read_text())
    return [
        *(rule['expr'] for rule in group['rules']),
        *(
            target['expr']
            for panel in dashboard['panels']
            for target in panel['targets']
        ),
        *(each['expr'] for each in dashboard['annotations']['list']),
    ]


@pytest.mark.parametrize('expression', expressions())
def test_an_expression_uses_metrics_and_labels_that_exist(
    expression: str,
) -> None:
    found = METRIC.findall(expression)
    assert found
    for name, matchers in found:
        _, labels = metric_families.FAMILIES[name]
        for label in re.findall(r'(\w+)(?:=|!)', matchers):
            assert label in ('backend', *labels)


def test_every_metric_is_used() -> None:
    """A metric that nothing shows is a metric too many."""
    used = {name for each in expressions() for name, _ in METRIC.findall(each)}
    assert used == set(metric_families.FAMILIES)


def test_every_alert_says_what_to_do() -> None:
    (group,) = yaml.safe_load((ETC / 'prometheus-rules.yaml').read_text())[
        'groups'
    ]
    for rule in group['rules']:
        assert rule['labels']['severity'] in ('critical', 'warning', 'info')
        assert rule['annotations']['description'].endswith('.')
        labels = set(
            re.findall(r'\$labels\.(\w+)', json.dumps(rule['annotations']))
        )
        known = {
            label
            for name, _ in METRIC.findall(rule['expr'])
            for label in metric_families.FAMILIES[name][1]
        }
        assert labels <= {'backend', *known}


def test_panels_do_not_overlap() -> None:
    dashboard = json.loads((ETC / 'grafana-dashboard.json').read_text())
    places = [
        (x, y)
        for panel in dashboard['panels']
        for x in range(
            panel['gridPos']['x'],
            panel['gridPos']['x'] + panel['gridPos']['w'],
        )
        for y in range(
            panel['gridPos']['y'],
            panel['gridPos']['y'] + panel['gridPos']['h'],
        )
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
