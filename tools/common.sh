# shellcheck shell=bash
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

# Functions that tools/test, tools/demo and tools/tempest share: source it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${MANILA_GLUSTERFS_CLONE_VENV:-$root/.venv}

say() {
    printf '\n=== %s (%d s)\n' "$*" "$SECONDS"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo --preserve-env "$@"
    fi
}

# Run a command with its output in a log. If it fails, name the log and print
# its end.
#
#   quietly NAME COMMAND [ARG]...
quietly() {
    local log status=0
    log=$(mktemp "${TMPDIR:-/tmp}/manila-glusterfs-clone-$1-XXXXXX.log")
    "${@:2}" >>"$log" 2>&1 || status=$?
    if [ "$status" -eq 0 ]; then
        rm -f "$log"
        return
    fi
    {
        tail -n 20 "$log"
        say "failed: ${*:2}; its output is in $log"
    } >&2
    return "$status"
}

# Run a command that installs packages; none of their services is started.
without_starting() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'as_root rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    "$@"
)

# Install the packages of a profile of bindep.txt that are missing.
install_packages() {
    local wanted missing=() package
    wanted=$(sed -n "s/^\([a-z0-9][a-z0-9.+-]*\) .*\b$1\b.*/\1/p" \
        "$root/bindep.txt")
    for package in $wanted; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null |
            grep -q 'install ok installed' || missing+=("$package")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        say "installing ${missing[*]}"
        quietly packages as_root apt-get update -q
        DEBIAN_FRONTEND=noninteractive quietly packages \
            without_starting as_root apt-get install -q -y \
            --no-install-recommends "${missing[@]}"
    fi
}

# Make the virtual environment unless one with these requirements exists.
make_venv() {
    local stamp
    stamp=$(cat "$root"/*requirements.txt "$root/doc/requirements.txt" \
        "$root/pyproject.toml" "$root/tools/common.sh" | sha256sum)
    if [ "$(cat "$venv/stamp" 2>/dev/null)" = "$stamp" ]; then
        return
    fi
    say "making the virtual environment $venv"
    rm -rf "$venv"
    python3 -m venv "$venv" >/dev/null 2>&1 || {
        install_packages venv
        quietly venv python3 -m venv "$venv"
    }
    quietly venv "$venv/bin/pip" install --upgrade pip
    quietly venv "$venv/bin/pip" install --editable "$root" \
        -r "$root/test-requirements.txt" -r "$root/doc/requirements.txt" \
        manila
    printf '%s\n' "$stamp" >"$venv/stamp"
}
