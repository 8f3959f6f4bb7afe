#!/usr/bin/env bash
# Finds or fetches a Go toolchain that is new enough for go.mod and, where it
# is not the one on PATH, leaves a link to it at build/go. In this order:
#
#   1. a Go that is there already (PATH, /usr/local/go, /usr/lib/go-1.*);
#   2. a Go from 1.21 on fetches the toolchain module itself;
#   3. the distribution's golang-1.NN package, where there is one;
#   4. the toolchain module, by curl from the module proxy, checked against
#      the checksum database; the distribution's Go, however old, says where
#      they are.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

link=build/go

# wanted prints the version that go.mod asks for, such as 1.26.0.
wanted() {
    awk '$1 == "toolchain" { sub(/^go/, "", $2); t = $2 }
         $1 == "go" { v = $2 }
         END { if (t) v = t; if (split(v, part, ".") == 2) v = v ".0"; print v }' go.mod
}

# version_of prints the version of a go command, which must not fetch another.
version_of() {
    GOTOOLCHAIN=local GOFLAGS= "$1" env GOVERSION 2>/dev/null | sed -n 's/^go\([0-9][0-9.]*\).*/\1/p'
}

# at_least A B: version A is B or newer.
at_least() {
    [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

candidates() {
    local c
    if [ -x "$link/bin/go" ]; then echo "$PWD/$link/bin/go"; fi
    command -v go || true
    for c in /usr/local/go/bin/go $(compgen -G '/usr/lib/go-1.*/bin/go' | sort -rV); do
        if [ -x "$c" ]; then echo "$c"; fi
    done
}

# use GOROOT: makes it the Go of the Makefile.
use() {
    mkdir -p build
    if [ "$(readlink -f "$1")" != "$(readlink -f "$link" 2>/dev/null)" ]; then
        rm -rf "$link"
        ln -s "$(readlink -f "$1")" "$link"
    fi
    "$link/bin/go" version >/dev/null || die "the Go toolchain at $1 does not run"
}

find_go() {
    local go
    for go in $(candidates); do
        if ! at_least "$(version_of "$go")" "$want"; then continue; fi
        case $go in
        "$PWD/$link/bin/go") ;;
        "$(command -v go)") rm -rf "$link" ;; # an older one there would hide it
        *) use "$(GOTOOLCHAIN=local "$go" env GOROOT)" ;;
        esac
        return 0
    done
    return 1
}

fetch_by_go() {
    local go root
    for go in $(candidates); do
        at_least "$(version_of "$go")" 1.21 || continue
        say "fetching go$want with $go"
        if root=$(cd / && GOFLAGS= GOTOOLCHAIN="go$want" "$go" env GOROOT) && [ -x "$root/bin/go" ]; then
            use "$root"
            return 0
        fi
    done
    return 1
}

install_package() {
    local minor pkg
    minor=$(cut -d. -f1,2 <<<"$want")
    pkg=golang-$minor-go
    [ -n "$(apt-cache search --names-only "^$pkg\$" 2>/dev/null)" ] || return 1
    say "apt-get install $pkg"
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends "$pkg" >/dev/null || return 1
    find_go
}

# setting NAME: the variable, else what a go command of any age takes for it.
setting() {
    local go
    if [ -n "${!1:-}" ]; then
        echo "${!1}"
        return
    fi
    if [ -z "$(candidates)" ]; then
        DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
            install --no-install-recommends golang-go >/dev/null
    fi
    for go in $(candidates); do
        GOTOOLCHAIN=local "$go" env "$1"
        return
    done
    return 1
}

# proxies prints the module proxies to ask, one on a line.
proxies() {
    local p
    for p in $(setting GOPROXY | tr ',|' '  '); do
        case $p in http://* | https://*) echo "${p%/}" ;; esac
    done
}

# tree_hash DIR prefix: the hash by which the checksum database knows a module
# (golang.org/x/mod/sumdb/dirhash, "h1:"): of the sorted list of the files'
# SHA-256 sums.
tree_hash() {
    (cd "$1" && find "$2" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) |
        openssl dgst -sha256 -binary | base64 | sed 's/^/h1:/'
}

# known_hash MODULE@VERSION proxy: what the checksum database says.
known_hash() {
    local db name
    name=$(setting GOSUMDB)
    name=${name%%[ +]*}
    for db in "$2/sumdb/$name" "https://$name"; do
        curl -fsSL --retry 2 --max-time 60 "$db/lookup/$1" 2>/dev/null |
            awk -v m="${1%@*}" -v v="${1#*@}" '$1 == m && $2 == v { print $3; exit }' | grep . && return 0
    done
    return 1
}

fetch_by_curl() {
    local arch module proxy want_hash hash
    case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    *) die "no Go toolchain is published for $(uname -m)" ;;
    esac
    module=golang.org/toolchain@v0.0.1-go$want.linux-$arch
    mkdir -p build
    tmp=$(mktemp -d build/go.XXXXXX)
    for proxy in $(proxies); do
        say "fetching $module from the module proxy"
        curl -fsSL --retry 3 --max-time 900 -o "$tmp/go.zip" "$proxy/${module/@//@v/}.zip" || continue
        rm -rf "$tmp/tree"
        unzip -q "$tmp/go.zip" -d "$tmp/tree" || continue
        hash=$(tree_hash "$tmp/tree" "$module")
        want_hash=$(known_hash "$module" "$proxy") ||
            die "the checksum database does not answer, so $module cannot be verified"
        [ "$hash" = "$want_hash" ] || die "$module is $hash and should be $want_hash"
        # Module archives carry no permissions.
        chmod +x "$tmp/tree/$module"/bin/* "$tmp/tree/$module"/pkg/tool/*/*
        rm -rf "$link"
        mv "$tmp/tree/$module" "$link"
        return 0
    done
    return 1
}

tmp=
trap '[ -z "$tmp" ] || rm -rf "$tmp"' EXIT
want=$(wanted)
[ -n "$want" ] || die "go.mod names no Go version"
find_go || fetch_by_go || install_package || fetch_by_curl ||
    die "no Go $want or newer was found or could be fetched; install it from https://go.dev/dl/"
say "$(GOTOOLCHAIN=local PATH=$project_path go version)"
