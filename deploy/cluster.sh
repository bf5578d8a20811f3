#!/usr/bin/env bash
# A cluster of processes on this machine, to look at and to break. The Makefile calls it: make cluster, make kill NODE=2, ...
#
# Everything is under .run/: `nodes` has one line for each node (its number, public port, port for peers), and a directory for each has its
# pid, its log, what it said on standard output, and its data. Processes are signalled only by those pids, and only while they are ours.

set -euo pipefail
cd "$(dirname "$0")/.."

readonly binary="$PWD/target/debug/turnstile"
readonly run="$PWD/.run"
readonly first_port=7878 first_peer_port=7978
readonly forms_within=30 stops_within=10

# Settings come from the flags below, whatever the caller's environment has.
unset "${!TURNSTILE_@}"

fail() {
    echo "cluster: $*" >&2
    exit 1
}

numbers() { cut -d ' ' -f 1 "$run/nodes"; }
address() { awk -v node="$1" '$1 == node { print "127.0.0.1:" $2 }' "$run/nodes"; }
peer_address() { awk -v node="$1" '$1 == node { print "127.0.0.1:" $3 }' "$run/nodes"; }
peer_addresses() { awk '{ print "127.0.0.1:" $3 }' "$run/nodes" | paste -sd , -; }

# A node's id, which it says when it serves for the first time.
id() {
    local id
    id=$(sed -n 's/.*"node":"\([0-9a-f]*\)".*/\1/p' "$run/$1/out" 2>/dev/null | tail -n 1)
    [ -n "$id" ] || fail "node $1 has not served yet, so its id is not known"
    echo "$id"
}

# The pid of a node, if it runs: a process with that pid that runs our binary on this node's data.
pid() {
    local pid exe
    pid=$(cat "$run/$1/pid" 2>/dev/null) || return 1
    exe=$(readlink "/proc/$pid/exe" 2>/dev/null) || return 1
    # A binary that was built anew since.
    [ "${exe% (deleted)}" = "$binary" ] || return 1
    tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -Fqx -- "--data=$run/$1/data" || return 1
    echo "$pid"
}

runs() { pid "$1" >/dev/null; }
is_paused() { grep -q '^State:[[:space:]]*T' "/proc/$(pid "$1")/status" 2>/dev/null; }

signal() { # SIGNAL NODE
    local pid
    pid=$(pid "$2") || fail "node $2 does not run: make restart NODE=$2 starts it"
    kill "-$1" "$pid"
}

need_cluster() {
    [ -s "$run/nodes" ] || fail "no cluster runs here: make cluster starts one"
    [ -x "$binary" ] || fail "$binary is missing: cargo build --locked --features cli"
}

need_node() { # NODE
    need_cluster
    [ -n "${1:-}" ] || fail "NODE is not set: one of $(numbers | paste -sd ' ' -)"
    numbers | grep -Fqx -- "$1" || fail "there is no node $1: NODE is one of $(numbers | paste -sd ' ' -)"
}

# Waits until a condition holds: seconds, then the condition.
within() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.1
    done
}

is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# So many free ports, from this one on.
ports() { # COUNT FIRST
    local port=$2 found=0
    while [ "$found" -lt "$1" ]; do
        [ "$port" -le 65535 ] || fail "there are no $1 free ports from $2 on"
        if is_free "$port"; then
            echo "$port"
            found=$((found + 1))
        fi
        port=$((port + 1))
    done
}

launch() { # NODE
    local directory="$run/$1"
    mkdir -p "$directory"
    # In a session of its own: Ctrl-C at make is not meant for it.
    setsid "$binary" node "--data=$directory/data" "--listen=$(address "$1")" "--peer-listen=$(peer_address "$1")" \
        "--peers=$(peer_addresses)" --cold-start-hold=0s --enable-fault-injection </dev/null >>"$directory/out" 2>>"$directory/log" &
    echo "$!" >"$directory/pid"
}

ask_all() {
    local flags=() number
    for number in $(numbers); do
        flags+=(--node "$(address "$number")")
    done
    "$binary" status "${flags[@]}"
}

# Whether one leads and all are in; fails at once when one has ended.
is_formed() {
    local number status
    for number in $(numbers); do
        # A process that was only just forked runs bash.
        runs "$number" || within 2 runs "$number" || {
            tail -n 3 "$run/$number/log" >&2
            fail "node $number has ended; its log is $run/$number/log"
        }
    done
    status=$(ask_all) || return 1
    ! awk '$3 == "down"' <<<"$status" | grep -q .
}

is_member() { "$binary" status --node "$(address "$1")" 2>/dev/null | awk '$3 ~ /^(leader|voter|spare|observer)$/' | grep -q .; }

start() { # COUNT
    local count=$1 number
    [[ $count =~ ^[1-9][0-9]?$ ]] || fail "NODES is \"$count\": it must be a whole number from 1 to 99"
    if [ -s "$run/nodes" ]; then
        for number in $(numbers); do
            ! runs "$number" || fail "a cluster runs here already: make stop ends it"
        done
    fi
    rm -rf "$run"
    mkdir -p "$run"
    paste -d ' ' <(seq "$count") <(ports "$count" "$first_port") <(ports "$count" "$first_peer_port") >"$run/nodes"
    # What did not come to be leaves nothing behind but its logs.
    trap 'stop >&2' EXIT
    for number in $(numbers); do
        launch "$number"
    done
    within "$forms_within" is_formed || fail "no cluster after $forms_within s; the logs are in $run"
    trap - EXIT
    ask_all
    echo
    for number in $(numbers); do
        echo "node $number: $(address "$number"), peers reach it at $(peer_address "$number"), log $run/$number/log"
    done
}

restart() { # NODE
    ! runs "$1" || fail "node $1 runs: make kill NODE=$1 ends it"
    launch "$1"
    if within "$forms_within" is_member "$1"; then
        echo "node $1 serves at $(address "$1")"
    else
        fail "node $1 is not in after $forms_within s: it needs a majority; its log is $run/$1/log"
    fi
}

add() {
    local number
    number=$(($(numbers | tail -n 1) + 1))
    [ "$number" -le 99 ] || fail "there are 99 nodes: no more"
    echo "$number $(ports 1 "$first_port") $(ports 1 "$first_peer_port")" >>"$run/nodes"
    launch "$number"
    if within "$forms_within" is_member "$number"; then
        echo "node $number serves at $(address "$number"), peers reach it at $(peer_address "$number"), log $run/$number/log"
    else
        fail "node $number is not in after $forms_within s; its log is $run/$number/log"
    fi
}

# What a node has is handed over, and it is forgotten here.
drain() { # NODE
    local address
    address=$(address "$1")
    runs "$1" || fail "node $1 does not run: make restart NODE=$1 starts it"
    "$binary" drain --node "$address"
    is_gone() { ! runs "$1"; }
    within "$stops_within" is_gone "$1" || fail "node $1 does not end; its log is $run/$1/log"
    sed -i "/^$1 /d" "$run/nodes"
}

kill_node() { # NODE
    signal KILL "$1"
    is_gone() { ! runs "$1"; }
    within 5 is_gone "$1" || fail "node $1 does not end"
    echo "node $1 is killed"
}

pause() { # NODE
    signal STOP "$1"
    echo "node $1 is paused"
}

resume() { # NODE
    signal CONT "$1"
    echo "node $1 goes on"
}

heal() {
    need_answers
    refuse "$(numbers)" ""
    echo "nobody is cut off"
}

# A cut that only some were told of would be another one.
need_answers() {
    local number
    for number in $(numbers); do
        runs "$number" || echo "node $number does not run: it will refuse nobody when it starts" >&2
        ! is_paused "$number" || fail "node $number is paused and cannot be told: make resume NODE=$number"
    done
}

# Who of these nodes runs, refuses these ids from now on.
refuse() { # NODES IDS
    local number
    for number in $1; do
        if runs "$number"; then
            # Several ids are several words.
            # shellcheck disable=SC2086
            "$binary" refuse-peers --node "$(address "$number")" $2
        fi
    done
}

ids() { # NODES
    local number
    for number in $1; do
        id "$number"
    done | paste -sd ' ' -
}

partition() { # NODES
    local inside="$*" outside="" number ids_inside ids_outside
    [ -n "$inside" ] || fail "NODES is not set: those to cut off, such as NODES=\"1 2\""
    for number in $inside; do
        numbers | grep -Fqx -- "$number" || fail "there is no node $number: NODES are some of $(numbers | paste -sd ' ' -)"
    done
    for number in $(numbers); do
        [[ " $inside " == *" $number "* ]] || outside+="$number "
    done
    [ -n "$outside" ] || fail "NODES names all nodes: nobody is left to cut them off from"
    need_answers
    ids_inside=$(ids "$inside")
    ids_outside=$(ids "$outside")
    refuse "$inside" "$ids_outside"
    refuse "$outside" "$ids_inside"
    echo "cut off from each other: ${inside} | ${outside% }"
}

all_are_gone() {
    local number
    for number in $(numbers); do
        ! runs "$number" || return 1
    done
}

# Ends all nodes, paused ones too.
stop() {
    local number signal pid
    for number in $(numbers); do
        # A paused one can't end before it goes on; one that ends meanwhile is told nothing.
        for signal in TERM CONT; do
            ! pid=$(pid "$number") || kill "-$signal" "$pid" 2>/dev/null || true
        done
    done
    if ! within "$stops_within" all_are_gone; then
        for number in $(numbers); do
            if runs "$number"; then
                echo "node $number did not end within $stops_within s and is killed" >&2
                kill_node "$number"
            fi
        done
    fi
    # Logs and data stay until the next cluster.
    rm -f "$run/nodes"
    echo "the cluster has ended; its logs are in $run"
}

command=${1:-}
shift || true
case "$command" in
start) start "${1:-3}" ;;
status) need_cluster && ask_all ;;
kill) need_node "${1:-}" && kill_node "$1" ;;
add) need_cluster && add ;;
drain) need_node "${1:-}" && drain "$1" ;;
restart) need_node "${1:-}" && restart "$1" ;;
pause) need_node "${1:-}" && pause "$1" ;;
resume) need_node "${1:-}" && resume "$1" ;;
partition) need_cluster && partition "$@" ;;
heal) need_cluster && heal ;;
stop) need_cluster && stop ;;
*) fail "\"$command\" is none of start, status, add, drain, kill, restart, pause, resume, partition, heal, stop" ;;
esac
