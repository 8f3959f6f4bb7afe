# For the scripts beside it, to be sourced from the root of the project.

# The Makefile's PATH: the toolchain that setup-go.sh has left, if any, first.
project_path=$PWD/build/go/bin:$PATH:/usr/local/go/bin

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*"; }
warn() { say "$*" >&2; }
die() {
    warn "$*"
    exit 1
}
