#!/usr/bin/env bash
# Prints packages by what they and their tests reach:
#
#   portable  everything that does not reach internal/dpdk: no cgo, no root
#   dpdk      the rest
#   random    those whose tests draw at random (pgregory.net/rapid)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
export PATH=$project_path

case ${1-} in
portable) want=0 ;;
dpdk) want=1 ;;
random)
    go list -f '{{$p := .ImportPath}}{{range .TestImports}}{{if eq . "pgregory.net/rapid"}}{{$p}}
{{end}}{{end}}{{range .XTestImports}}{{if eq . "pgregory.net/rapid"}}{{$p}}
{{end}}{{end}}' ./... | sort -u | sed '/^$/d'
    exit
    ;;
*)
    echo "usage: scripts/packages.sh portable|dpdk|random" >&2
    exit 2
    ;;
esac
# With -test there is a second line for each package, PKG.test, whose
# dependencies are those of the tests; lines "PKG [PKG.test]" repeat the first.
go list -test -f '{{.ImportPath}} {{join .Deps " "}}' ./... |
    awk -v want="$want" -v dpdk="$(go list -m)/internal/dpdk" '
        $2 ~ /^\[/ { next }
        {
            pkg = $1
            sub(/\.test$/, "", pkg)
            if (!(pkg in reaches)) { reaches[pkg] = 0; order[++n] = pkg }
            for (i = 1; i <= NF; i++) if ($i == dpdk) reaches[pkg] = 1
        }
        END { for (i = 1; i <= n; i++) if (reaches[order[i]] == want) print order[i] }'
