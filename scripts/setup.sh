#!/usr/bin/env bash
# Makes a Debian 12 or Ubuntu 24.04 machine ready to build, test and run
# nitrod: packages, a Go toolchain, hugepages. As root; asks nothing; may be
# run again at any time and does then only what is missing.
#
#   scripts/setup.sh           what nitrod needs
#   scripts/setup.sh --bench   also testpmd and OVS-DPDK, which the benchmark compares with
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

hugepages=704 # of 2 MiB: 1.4 GiB, enough for the examples, the tests and small benchmarks

packages=(
    build-essential pkg-config make git
    libdpdk-dev dpdk
    iproute2 iputils-ping iperf3 tcpdump netcat-openbsd ethtool procps kmod
    udhcpc isc-dhcp-client curl ca-certificates openssl unzip python3
)

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

apt_updated=
apt_install() {
    if [ -z "$apt_updated" ]; then
        say "apt-get update"
        DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 update >/dev/null
        apt_updated=yes
    fi
    say "apt-get install $*"
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends "$@" >/dev/null
}

install_packages() {
    local p missing=()
    for p in "${packages[@]}"; do
        installed "$p" || missing+=("$p")
    done
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

# The drivers are shared objects that DPDK loads from one directory. Debian's
# libdpdk-dev depends on all of them; where a distribution has split them off,
# each is in a package of its own, librte-net-NAME with an ABI number.
install_drivers() {
    local libdir name pkg missing=()
    libdir=$(pkg-config --variable=libdir libdpdk)
    for name in null pcap tap ring memif vhost virtio af_packet af_xdp; do
        compgen -G "$libdir/dpdk/pmds-*/librte_net_$name.so*" >/dev/null && continue
        pkg=$(apt-cache search --names-only "^librte-net-${name//_/-}[-0-9.]*$" | awk 'NR == 1 { print $1 }')
        if [ -n "$pkg" ]; then
            missing+=("$pkg")
        else
            warn "no package has DPDK's net_$name; what needs it will be skipped"
        fi
    done
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

# testpmd is in dpdk-dev. OVS's daemons are for the benchmark's own instance; a
# service that the package starts would only take memory and a core.
install_bench() {
    command -v dpdk-testpmd >/dev/null || apt_install dpdk-dev
    installed openvswitch-switch-dpdk && return
    local fresh=
    installed openvswitch-switch || fresh=yes
    apt_install openvswitch-switch openvswitch-switch-dpdk
    if [ -n "$fresh" ] && [ -d /run/systemd/system ]; then
        systemctl disable --now openvswitch-switch.service >/dev/null 2>&1 || true
    fi
}

setup_hugepages() {
    local sysfs=/sys/kernel/mm/hugepages/hugepages-2048kB total free spare
    if [ ! -w "$sysfs/nr_hugepages" ]; then
        warn "this machine has no hugepages of 2 MiB to give; nitrod runs with --no-huge"
        return
    fi
    total=$(<"$sysfs/nr_hugepages")
    if [ "$total" -lt "$hugepages" ]; then
        # Never more than a quarter of the memory that is available now.
        spare=$(awk '/^MemAvailable:/ { print int($2 / 2048 / 4) }' /proc/meminfo)
        if [ $((hugepages - total)) -le "$spare" ]; then
            echo "$hugepages" 2>/dev/null >"$sysfs/nr_hugepages" || true
        fi
    fi
    if ! mountpoint -q /dev/hugepages; then
        mkdir -p /dev/hugepages 2>/dev/null && mount -t hugetlbfs none /dev/hugepages 2>/dev/null ||
            say "hugetlbfs cannot be mounted here; nitrod does not need it"
    fi
    total=$(<"$sysfs/nr_hugepages")
    free=$(<"$sysfs/free_hugepages")
    if [ "$total" -eq 0 ]; then
        warn "the machine granted no hugepages; nitrod runs with --no-huge"
    else
        say "hugepages: $total of 2 MiB, $free free"
    fi
}

setup_tun() {
    [ -c /dev/net/tun ] && return
    modprobe tun 2>/dev/null || true
    if [ ! -c /dev/net/tun ]; then
        mkdir -p /dev/net && mknod /dev/net/tun c 10 200 2>/dev/null ||
            warn "/dev/net/tun is missing and cannot be made; taps will not work"
    fi
}

main() {
    local bench=
    case ${1-} in
    '') ;;
    --bench) bench=yes ;;
    *) die "usage: scripts/setup.sh [--bench]" ;;
    esac
    [ "$(id -u)" -eq 0 ] || die "root is needed: sudo scripts/setup.sh"
    command -v apt-get >/dev/null || die "only Debian and Ubuntu are known to this script; see CONTRIBUTING.md for what to install"
    install_packages
    install_drivers
    [ -z "$bench" ] || install_bench
    scripts/setup-go.sh
    setup_tun
    setup_hugepages
}

main "$@"
