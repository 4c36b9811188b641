#!/bin/bash
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
#
# The DevStack plugin of the Manila driver for GlusterFS. DevStack sources it
# in each phase as "plugin.sh <mode> <phase>", after Manila's plugin.
#
# stack.sh runs it under errexit with an ERR trap: what may fail stands in an
# "if" or before "||". unstack.sh and clean.sh run without errexit.

_XTRACE_GLUSTERFS_CLONE=$(set +o | grep xtrace)
set -o xtrace

# What the node installer of the driver puts on a node.
GLUSTERFS_CLONE_UNIT=manila-glusterfs-clone-bricks.service
GLUSTERFS_CLONE_LIBRARY=/usr/local/lib/manila-glusterfs-clone
GLUSTERFS_CLONE_DROP_IN=/etc/systemd/system/glusterd.service.d
GLUSTERFS_CLONE_SUDOERS=/etc/sudoers.d/manila-glusterfs-clone
GLUSTERFS_CLONE_ETC=/etc/manila-glusterfs-clone


# The cluster of one node
# -----------------------

# glusterfs_clone_is_local - whether this host is the storage node
function glusterfs_clone_is_local {
    [[ "$GLUSTERFS_CLONE_LOCAL" == "True" ]]
}

# glusterfs_clone_record <name> <value> - record what stack.sh made or changed
# on the host. clean.sh undoes what is recorded, even if local.conf has changed
# since then.
function glusterfs_clone_record {
    if ! glusterfs_clone_is_recorded "$1" "$2"; then
        mkdir -p "$GLUSTERFS_CLONE_STATE_DIR"
        echo "$2" >>"$GLUSTERFS_CLONE_STATE_DIR/$1"
    fi
}

# glusterfs_clone_is_recorded <name> <value>
function glusterfs_clone_is_recorded {
    glusterfs_clone_recorded "$1" | grep -qxF -e "$2"
}

# glusterfs_clone_recorded <name> - print the recorded values, one a line
function glusterfs_clone_recorded {
    cat "$GLUSTERFS_CLONE_STATE_DIR/$1" 2>/dev/null || true
}

# glusterfs_clone_loop_device - print the loop device of the disk, if any
function glusterfs_clone_loop_device {
    sudo losetup -j "$GLUSTERFS_CLONE_LOOP_FILE" | head -n 1 | cut -d : -f 1
}

# glusterfs_clone_vg_on_disk - print the volume group on the disk, if any
function glusterfs_clone_vg_on_disk {
    local device
    device=$(glusterfs_clone_loop_device)
    if [[ -n "$device" ]]; then
        sudo pvs --noheadings -o vg_name "$device" 2>/dev/null \
            | tr -d ' ' || true
    fi
}

function attach_glusterfs_clone_disk {
    if [[ -z "$(glusterfs_clone_loop_device)" ]]; then
        sudo losetup -f --show "$GLUSTERFS_CLONE_LOOP_FILE"
    fi
}

# install_glusterfs_clone_packages - install what a storage node needs, or,
# for a cluster that is there, what logs in to it
function install_glusterfs_clone_packages {
    if ! glusterfs_clone_is_local; then
        if is_ubuntu; then
            install_package openssh-client
        else
            install_package openssh-clients
        fi
    elif is_ubuntu; then
        install_package attr glusterfs-server lvm2 openssh-client \
            openssh-server sudo thin-provisioning-tools xfsprogs
    else
        install_package attr device-mapper-persistent-data \
            glusterfs-server lvm2 openssh-clients openssh-server sudo \
            xfsprogs
    fi
}

# create_glusterfs_clone_pool - make a thin pool on a loop device
function create_glusterfs_clone_pool {
    local vg=$GLUSTERFS_CLONE_VG
    local pool=$GLUSTERFS_CLONE_THIN_POOL
    mkdir -p "$GLUSTERFS_CLONE_STATE_DIR"
    if [[ ! -e "$GLUSTERFS_CLONE_LOOP_FILE" ]]; then
        truncate -s "$GLUSTERFS_CLONE_LOOP_SIZE" "$GLUSTERFS_CLONE_LOOP_FILE"
    fi
    attach_glusterfs_clone_disk
    # In a container the host has loaded the module.
    sudo modprobe dm_thin_pool || true
    if ! sudo vgs "$vg"; then
        sudo vgcreate "$vg" "$(glusterfs_clone_loop_device)"
    elif [[ "$(glusterfs_clone_vg_on_disk)" != "$vg" ]]; then
        die $LINENO "$vg is not of this plugin: set GLUSTERFS_CLONE_VG"
    fi
    sudo vgchange -a y "$vg"
    if ! sudo lvs "$vg/$pool"; then
        # LVM makes a second LV for repairs, of the size of the metadata.
        sudo lvcreate -q -l 95%FREE --poolmetadatasize 128m --zero y \
            --thinpool "$pool" "$vg"
    fi
}

# create_glusterfs_clone_key - make the key that the driver logs in with
function create_glusterfs_clone_key {
    local key=$GLUSTERFS_CLONE_SSH_PRIVATE_KEY
    if [[ ! -e "$key" ]]; then
        glusterfs_clone_record made-key "$key"
        ssh-keygen -q -t ed25519 -N '' -C manila-glusterfs-clone -f "$key"
    fi
    if [[ ! -e "$key.pub" ]]; then
        ssh-keygen -y -f "$key" >"$key.pub"
    fi
}

# install_glusterfs_clone_node - make this host a storage node
function install_glusterfs_clone_node {
    local installer=$GLUSTERFS_CLONE_STATE_DIR/node-installer
    local user=$GLUSTERFS_CLONE_SSH_USER
    local -a pools
    IFS=, read -ra pools <<<"$GLUSTERFS_CLONE_POOLS"
    if ! id "$user" >/dev/null 2>&1; then
        glusterfs_clone_record made-user "$user"
    fi
    glusterfs_clone_record ssh-user "$user"
    # The second word identifies the key. Manila's plugin deletes /etc/manila
    # before this plugin cleans up.
    glusterfs_clone_record public-key "$(cut -d ' ' -f 2 \
        "$GLUSTERFS_CLONE_SSH_PRIVATE_KEY.pub")"
    glusterfs_clone_record brick-root "$GLUSTERFS_CLONE_BRICK_ROOT"
    "$(get_python_exec_prefix)/manila-glusterfs-clone" node-installer \
        --user "$user" "${pools[@]/#/--pool=}" \
        --brick-root "$GLUSTERFS_CLONE_BRICK_ROOT" \
        --public-key "$GLUSTERFS_CLONE_SSH_PRIVATE_KEY.pub" >"$installer"
    sudo sh "$installer"
}

function start_glusterfs_clone_glusterd {
    if ! sudo systemctl is-active --quiet glusterd; then
        glusterfs_clone_record started-glusterd yes
        # Debian's unit starts six times an hour, and not once more.
        sudo systemctl reset-failed glusterd || true
        sudo systemctl start glusterd
    fi
}

# check_glusterfs_clone_peers - refuse a glusterd that is part of a cluster
function check_glusterfs_clone_peers {
    local peers
    peers=$(sudo gluster --mode=script pool list | tail -n +2 | wc -l)
    if [[ "$peers" -gt 1 ]]; then
        die $LINENO "glusterd has peers: set GLUSTERFS_CLONE_LOCAL=False"
    fi
}

# prepare_glusterfs_clone_cluster - all of the above; it may be repeated
function prepare_glusterfs_clone_cluster {
    create_glusterfs_clone_pool
    create_glusterfs_clone_key
    install_glusterfs_clone_node
    start_glusterfs_clone_glusterd
    check_glusterfs_clone_peers
}


# The control plane
# -----------------

# check_glusterfs_clone_variables - refuse what no default can replace
function check_glusterfs_clone_variables {
    if [[ -z "$GLUSTERFS_CLONE_NODES" ]]; then
        die $LINENO "set GLUSTERFS_CLONE_NODES to the nodes of the cluster"
    fi
    if [[ "$GLUSTERFS_CLONE_LOCAL" != "True" \
        && ! -r "$GLUSTERFS_CLONE_SSH_PRIVATE_KEY" ]]; then
        die $LINENO "set GLUSTERFS_CLONE_SSH_PRIVATE_KEY to a readable key"
    fi
}

# write_glusterfs_clone_known_hosts - ask the nodes for their host keys. A
# file that stack.sh has not made stays as it is.
function write_glusterfs_clone_known_hosts {
    local hosts=$GLUSTERFS_CLONE_SSH_KNOWN_HOSTS
    local node keys
    if [[ -s "$hosts" ]] \
        && ! glusterfs_clone_is_recorded made-known-hosts "$hosts"; then
        return 0
    fi
    if glusterfs_clone_is_local; then
        glusterfs_clone_record made-known-hosts "$hosts"
    fi
    : >"$hosts"
    for node in ${GLUSTERFS_CLONE_NODES//,/ }; do
        keys=$(ssh-keyscan -T 10 -p "$GLUSTERFS_CLONE_SSH_PORT" "$node" \
            || true)
        if [[ -z "$keys" ]]; then
            die $LINENO "sshd on $node does not present a host key"
        fi
        echo "$keys" >>"$hosts"
    done
}

# configure_glusterfs_clone - what manila.conf needs besides the sections of
# the back ends, which Manila's plugin makes of MANILA_OPTGROUP_...
function configure_glusterfs_clone {
    local backend
    check_glusterfs_clone_variables
    if glusterfs_clone_is_local; then
        prepare_glusterfs_clone_cluster
    fi
    write_glusterfs_clone_known_hosts
    for backend in ${GLUSTERFS_CLONE_BACKENDS//,/ }; do
        # Manila's plugin writes these for drivers that boot service VMs.
        inidelete "$MANILA_CONF" "$backend" path_to_public_key
        inidelete "$MANILA_CONF" "$backend" path_to_private_key
        inidelete "$MANILA_CONF" "$backend" service_image_name
        inidelete "$MANILA_CONF" "$backend" service_instance_user
    done
}

# wait_for_glusterfs_clone - wait until manila-share reports each back end
function wait_for_glusterfs_clone {
    local backend hosts deadline
    deadline=$((SECONDS + GLUSTERFS_CLONE_TIMEOUT))
    for backend in ${GLUSTERFS_CLONE_BACKENDS//,/ }; do
        while true; do
            hosts=$(openstack --os-cloud "$OS_CLOUD" share service list \
                --binary manila-share --state up -f value -c Host || true)
            if grep -q "@$backend\$" <<<"$hosts"; then
                break
            fi
            if [[ "$SECONDS" -ge "$deadline" ]]; then
                die $LINENO "$backend is not up; see the log of m-shr"
            fi
            sleep 2
        done
    done
}

# configure_glusterfs_clone_tempest - tell tempest what the driver can do
function configure_glusterfs_clone_tempest {
    local names=${GLUSTERFS_CLONE_BACKENDS^^}
    local several=False
    local option
    if [[ "$names" == *,* ]]; then
        several=True
    fi
    TEMPEST_CONFIG=${TEMPEST_CONFIG:-$TEMPEST_DIR/etc/tempest.conf}

    iniset "$TEMPEST_CONFIG" service_available manila True
    iniset "$TEMPEST_CONFIG" share backend_names "$names"
    iniset "$TEMPEST_CONFIG" share multi_backend $several
    iniset "$TEMPEST_CONFIG" share default_share_type_name \
        "$MANILA_DEFAULT_SHARE_TYPE"
    iniset "$TEMPEST_CONFIG" share enable_protocols glusterfs
    iniset "$TEMPEST_CONFIG" share capability_storage_protocol GLUSTERFS
    iniset "$TEMPEST_CONFIG" share enable_ip_rules_for_protocols glusterfs
    iniset "$TEMPEST_CONFIG" share enable_ro_access_level_for_protocols \
        glusterfs

    # A retry would hide a bug, and so would an ignored error.
    iniset "$TEMPEST_CONFIG" share share_creation_retry_number 0
    iniset "$TEMPEST_CONFIG" share suppress_errors_in_cleanup False

    for option in capability_create_share_from_snapshot_support \
        capability_snapshot_support capability_thin_provisioned \
        run_extend_tests run_quota_tests run_share_group_tests \
        run_snapshot_tests; do
        iniset "$TEMPEST_CONFIG" share $option True
    done

    # What the driver does not do.
    for option in create_networks_when_multitenancy_enabled \
        multitenancy_enabled run_driver_assisted_backup_tests \
        run_driver_assisted_migration_tests \
        run_host_assisted_migration_tests run_ipv6_tests \
        run_manage_unmanage_snapshot_tests run_manage_unmanage_tests \
        run_mount_snapshot_tests run_replication_tests \
        run_revert_to_snapshot_tests run_shrink_tests; do
        iniset "$TEMPEST_CONFIG" share $option False
    done
    for option in enable_cephx_rules_for_protocols \
        enable_cert_rules_for_protocols \
        enable_user_rules_for_protocols; do
        iniset "$TEMPEST_CONFIG" share $option ''
    done
}


# Undoing it
# ----------

# glusterfs_clone_thin_lvs <vg> - print the LVs of bricks and snapshots
function glusterfs_clone_thin_lvs {
    sudo lvs --noheadings -o lv_full_name -S 'lv_attr=~"^V"' "$1"
}

# glusterfs_clone_volumes <vg> - print the volumes with bricks on a volume group
function glusterfs_clone_volumes {
    local devices kind value volume
    devices=$(sudo lvs --noheadings -o lv_dm_path "$1" | xargs)
    sudo gluster --mode=script volume info \
        | sed -n -e 's/^Volume Name: /volume /p' \
            -e 's/^Brick[0-9]*: .*:\//brick \//p' \
        | while read -r kind value; do
            if [[ "$kind" == volume ]]; then
                volume=$value
            elif [[ " $devices " == *" $(sudo findmnt -n -o SOURCE \
                -T "$value" </dev/null) "* ]]; then
                echo "$volume"
            fi
        done | sort -u
}

# delete_glusterfs_clone_volumes <vg> - delete all shares and snapshots. The
# next stack.sh makes an empty database, which knows none of them.
function delete_glusterfs_clone_volumes {
    local gluster='sudo gluster --mode=script'
    local volumes volume snapshot
    volumes=$(glusterfs_clone_volumes "$1")
    for volume in $volumes; do
        # "No snapshots present" has spaces, and names have none.
        for snapshot in $($gluster snapshot list "$volume" | grep -v ' '); do
            $gluster snapshot delete "$snapshot"
        done
    done
    for volume in $volumes; do
        $gluster volume stop "$volume" force
        $gluster volume delete "$volume"
    done
}

# unmount_glusterfs_clone_bricks <vg> - unmount all that is on a volume group
function unmount_glusterfs_clone_bricks {
    local device target
    for device in $(sudo lvs --noheadings -o lv_dm_path "$1"); do
        for target in $(findmnt -n -o TARGET -S "$device"); do
            sudo umount "$target"
            sudo rmdir "$target"
        done
    done
}

# remove_glusterfs_clone_directories <LV>... - remove the empty directories
# that glusterd leaves of the LVs of clones and snapshots
function remove_glusterfs_clone_directories {
    local lv directory
    for lv in "$@"; do
        if [[ "$lv" =~ /([0-9a-f]{32})_[0-9]+$ ]]; then
            directory=/run/gluster/snaps/${BASH_REMATCH[1]}
            if sudo test -d "$directory"; then
                sudo find "$directory" -depth -type d -empty -delete
            fi
        fi
    done
}

# stop_glusterfs_clone - delete the shares, and stop what stack.sh started
function stop_glusterfs_clone {
    local vg lvs
    if [[ ! -e "$GLUSTERFS_CLONE_LOOP_FILE" ]]; then
        return 0
    fi
    # A reboot of the host has detached the disk. glusterd cannot delete the
    # volumes of bricks that are not mounted.
    attach_glusterfs_clone_disk
    vg=$(glusterfs_clone_vg_on_disk)
    if [[ -n "$vg" ]]; then
        lvs=$(glusterfs_clone_thin_lvs "$vg")
    fi
    if [[ -n "$lvs" ]]; then
        sudo vgchange -a y "$vg"
        if sudo test -x $GLUSTERFS_CLONE_LIBRARY/mount-bricks; then
            sudo $GLUSTERFS_CLONE_LIBRARY/mount-bricks
        fi
        start_glusterfs_clone_glusterd
        delete_glusterfs_clone_volumes "$vg"
        unmount_glusterfs_clone_bricks "$vg"
        sudo lvremove -q -f -S 'lv_attr=~"^V"' "$vg"
        # shellcheck disable=SC2086
        remove_glusterfs_clone_directories $lvs
    fi
    if [[ -n "$(glusterfs_clone_recorded started-glusterd)" ]]; then
        sudo systemctl stop glusterd
        rm -f "$GLUSTERFS_CLONE_STATE_DIR/started-glusterd"
    fi
}

# remove_glusterfs_clone_disk - remove the volume group and the loop device
function remove_glusterfs_clone_disk {
    local vg device
    vg=$(glusterfs_clone_vg_on_disk)
    if [[ -n "$vg" ]]; then
        sudo vgremove -q -f "$vg"
        if [[ -n "$(glusterfs_clone_vg_on_disk)" ]]; then
            # clean.sh would go on to delete the disk's file.
            die $LINENO "volume group $vg is in use: free it, and run clean.sh"
        fi
    fi
    device=$(glusterfs_clone_loop_device)
    if [[ -n "$device" ]]; then
        sudo losetup -d "$device"
    fi
}

# revoke_glusterfs_clone_key <user> - remove the driver's keys, and the empty
# lines that the node installer puts before them
function revoke_glusterfs_clone_key {
    local directory key
    directory=$(getent passwd "$1" | cut -d : -f 6)/.ssh
    if ! sudo test -e "$directory/authorized_keys"; then
        return 0
    fi
    for key in $(glusterfs_clone_recorded public-key); do
        sudo sed -i -e "/^\$/{N;\\|$key|d}" -e "\\|$key|d" \
            "$directory/authorized_keys"
    done
    sudo find "$directory" -depth -empty -delete
}

# uninstall_glusterfs_clone_node - remove what the node installer installed
function uninstall_glusterfs_clone_node {
    local user
    sudo systemctl disable $GLUSTERFS_CLONE_UNIT
    sudo rm -f /etc/systemd/system/$GLUSTERFS_CLONE_UNIT \
        $GLUSTERFS_CLONE_DROP_IN/manila-glusterfs-clone.conf \
        $GLUSTERFS_CLONE_SUDOERS
    sudo rm -rf $GLUSTERFS_CLONE_LIBRARY $GLUSTERFS_CLONE_ETC
    if sudo test -d $GLUSTERFS_CLONE_DROP_IN; then
        sudo rmdir --ignore-fail-on-non-empty $GLUSTERFS_CLONE_DROP_IN
    fi
    sudo systemctl daemon-reload
    for user in $(glusterfs_clone_recorded ssh-user); do
        if glusterfs_clone_is_recorded made-user "$user"; then
            # userdel refuses to delete a user who is logged in.
            sudo pkill -KILL -u "$user" || true
            sudo userdel -r "$user"
        elif id "$user" >/dev/null 2>&1; then
            revoke_glusterfs_clone_key "$user"
        fi
    done
}

# cleanup_glusterfs_clone - leave the host as it was. It does nothing where
# this plugin has made no cluster.
function cleanup_glusterfs_clone {
    local path
    if [[ ! -d "$GLUSTERFS_CLONE_STATE_DIR" ]]; then
        return 0
    fi
    stop_glusterfs_clone
    remove_glusterfs_clone_disk
    uninstall_glusterfs_clone_node
    for path in $(glusterfs_clone_recorded brick-root); do
        if sudo test -d "$path"; then
            sudo find "$path" -depth -type d -empty -delete
        fi
    done
    for path in $(glusterfs_clone_recorded made-key); do
        rm -f "$path" "$path.pub"
    done
    for path in $(glusterfs_clone_recorded made-known-hosts); do
        rm -f "$path"
    done
    sudo rm -rf "$GLUSTERFS_CLONE_STATE_DIR"
}


# The phases
# ----------

case "${1:-} ${2:-}" in
    "stack pre-install")
        if is_service_enabled m-shr; then
            echo_summary "Installing the packages of the GlusterFS driver"
            install_glusterfs_clone_packages
        fi
        ;;
    "stack install")
        if is_service_enabled m-shr; then
            echo_summary "Installing the GlusterFS driver of Manila"
            setup_develop "$GLUSTERFS_CLONE_DIR"
        fi
        ;;
    "stack post-config")
        if is_service_enabled m-shr; then
            echo_summary "Configuring the GlusterFS driver of Manila"
            configure_glusterfs_clone
        fi
        ;;
    "stack extra")
        if is_service_enabled m-shr; then
            echo_summary "Waiting for the GlusterFS back ends of Manila"
            wait_for_glusterfs_clone
        fi
        ;;
    "stack test-config")
        if is_service_enabled tempest; then
            echo_summary "Configuring tempest for the GlusterFS driver"
            configure_glusterfs_clone_tempest
        fi
        ;;
    "unstack ")
        stop_glusterfs_clone
        ;;
    "clean ")
        cleanup_glusterfs_clone
        ;;
esac

$_XTRACE_GLUSTERFS_CLONE
