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
"""The jobs of Zuul, as far as they can be checked without Zuul."""

import configparser
import csv
from pathlib import Path
import re
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]

#: Jobs and templates of opendev.org/openstack/openstack-zuul-jobs and
#: openstack/manila-tempest-plugin, with the tox environment that each job of
#: the template needs.
PARENTS = {'openstack-tox', 'manila-tempest-plugin-standalone-base'}
TEMPLATES = {
    'check-requirements': [],
    'openstack-cover-jobs': ['cover'],
    'openstack-python3-jobs': ['pep8'],
    'publish-openstack-docs-pti': ['docs'],
    'release-notes-jobs-python3': [],
}


def load(name: str, kind: str) -> list[dict[str, Any]]:
    """Return the objects of a kind in a file of ``zuul.d``."""
    text = (ROOT / 'zuul.d' / name).read_text()
    return [each[kind] for each in yaml.safe_load(text) if kind in each]


def jobs() -> dict[str, dict[str, Any]]:
    return {job['name']: job for job in load('jobs.yaml', 'job')}


def environments() -> set[str]:
    """Return the environments that tox.ini names; py3 is always one."""
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(ROOT / 'tox.ini')
    return {
        section.partition(':')[2]
        for section in ini.sections()
        if section.startswith('testenv:')
    } | {'py3'}


def test_the_project_uses_jobs_and_templates_that_exist() -> None:
    (project,) = load('project.yaml', 'project')
    assert set(project['templates']) == set(TEMPLATES)
    for pipeline in ('check', 'gate'):
        assert set(project[pipeline]['jobs']) == set(jobs())
    assert {job['parent'] for job in jobs().values()} <= PARENTS


def test_tox_has_the_environments_of_the_jobs() -> None:
    wanted = {name for names in TEMPLATES.values() for name in names}
    for job in jobs().values():
        if job['parent'] == 'openstack-tox':
            wanted.add(job['vars']['tox_envlist'])
    assert wanted <= environments()


def test_zuul_installs_the_packages_of_the_unit_tests() -> None:
    """Its jobs install those with the profile ``test``."""
    for line in (ROOT / 'bindep.txt').read_text().splitlines():
        profiles = re.findall(r'\w+', line.partition('[')[2])
        if 'unit' in profiles:
            assert 'test' in profiles, line


def test_the_tempest_job_excludes_what_the_lab_excludes() -> None:
    rows = csv.reader((ROOT / 'tests/tempest/excluded.csv').open())
    patterns = [
        pattern.strip('`')
        for which, pattern, _reason in rows
        if which in ('all', 'ip')
    ]
    job = jobs()['manila-glusterfs-clone-tempest']
    assert job['vars']['tempest_exclude_regex'] == f'({"|".join(patterns)})'


def test_the_tempest_job_enables_plugins_in_their_order() -> None:
    """The job's role sorts them by ``plugin_requires`` in settings."""
    job = jobs()['manila-glusterfs-clone-tempest']
    settings = (ROOT / 'devstack/settings').read_text().splitlines()
    for plugin in job['vars']['devstack_plugins']:
        assert any(
            project.endswith(f'/{plugin}')
            for project in job['required-projects']
        )
    assert 'define_plugin manila-glusterfs-clone' in settings
    assert 'plugin_requires manila-glusterfs-clone manila' in settings
