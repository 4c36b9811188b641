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
"""Write settings files in the format of oslo.config."""

from collections.abc import Mapping

Sections = Mapping[str, Mapping[str, object]]


def text(sections: Sections) -> str:
    """Return the text of a file with these sections, options and values."""
    lines = []
    for section, options in sections.items():
        lines.append(f'[{section}]')
        # oslo.config takes $ for the name of another option.
        lines += [
            f'{option} = {str(value).replace("$", "$$")}'
            for option, value in options.items()
        ]
        lines.append('')
    return '\n'.join(lines)
