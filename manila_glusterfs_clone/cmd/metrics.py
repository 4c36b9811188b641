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
"""The command ``metrics``: write metrics for Prometheus."""

import argparse
import os
import pathlib
import time

import prometheus_client

from manila_glusterfs_clone.cmd import backend_state
from manila_glusterfs_clone.cmd import base
from manila_glusterfs_clone.cmd import manila_conf
from manila_glusterfs_clone.cmd import metric_families
from manila_glusterfs_clone.cmd import progress


class Metrics(base.Command):
    """Write metrics of back ends for Prometheus.

    With --output, replace a file for the textfile collector of node_exporter
    in one step, so that node_exporter never reads an incomplete file.
    Otherwise, write to stdout.

    Run this command at intervals, from a systemd timer or cron. If a back end
    cannot be read, its metrics say so, and the exit status is 0.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        base.add_configuration_arguments(parser)
        parser.add_argument(
            '--output',
            metavar='FILE',
            type=pathlib.Path,
            help='the file to replace, in the directory that node_exporter '
            'reads; its name must end with ".prom"',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Write the metrics of all back ends."""
        output: pathlib.Path | None = parsed_args.output
        if output is not None:
            _require_writable(output)
        sections = manila_conf.load(parsed_args)
        manila_conf.require_database()
        collector = metric_families.Collector()
        for section in sections:
            with (
                progress.shown(
                    f'Reading back end {section.name}', self.app.stderr
                ),
                section.open() as backend,
            ):
                read = backend_state.read(backend, section.service_host)
                settings = backend.services.settings
            for sample in metric_families.samples(read, settings, time.time()):
                collector.add(section.name, sample)
        registry = prometheus_client.CollectorRegistry()
        registry.register(collector)
        if output is None:
            text = prometheus_client.generate_latest(registry)
            self.app.stdout.write(text.decode())
        else:
            prometheus_client.write_to_textfile(str(output), registry)


def _require_writable(output: pathlib.Path) -> None:
    """Verify that a file can be replaced, before the cluster is read."""
    if output.suffix != '.prom':
        raise base.Unusable(
            f'{output}: node_exporter reads only files whose names end with '
            f'".prom"; choose another name'
        )
    if not output.parent.is_dir():
        raise base.Unusable(
            f'{output.parent} is no directory; name a file in the directory '
            f'that node_exporter reads'
        )
    if not os.access(output.parent, os.W_OK):
        raise base.Unusable(
            f'{output.parent} cannot be written: permission denied; let the '
            f'user of this command write there'
        )
