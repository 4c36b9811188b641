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
"""How the documentation is built."""

extensions = ['openstackdocstheme', 'oslo_config.sphinxext']

project = 'manila_glusterfs_clone'
copyright = 'The manila_glusterfs_clone developers'

openstackdocs_repo_name = 'x/manila-glusterfs-clone'
openstackdocs_auto_name = False
openstackdocs_use_storyboard = False

html_theme = 'openstackdocs'
pygments_style = 'native'
exclude_patterns: list[str] = []

man_pages = [
    (
        'operator-commands',
        'manila-glusterfs-clone',
        'tools for operators of the Manila driver for GlusterFS',
        'The manila_glusterfs_clone developers',
        8,
    ),
]
