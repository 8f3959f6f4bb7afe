#!/usr/bin/env bash
# Runs every fuzz target of the project for FUZZTIME (30s).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
export PATH=$project_path

found=
while IFS=: read -r file target; do
    found=yes
    pkg=$(dirname "$file")
    say "$pkg $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" "$pkg"
done < <(grep -roHE --exclude-dir=build --exclude-dir=.git --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed 's/:func /:/' | sort)
[ -n "$found" ] || die "no fuzz target was found"
