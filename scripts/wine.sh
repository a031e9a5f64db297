#!/usr/bin/env bash
# Runs the tests of the command for Windows under Wine: the wrapper in cmd.exe, sf's store and
# its key in the user's directory, paths, and all else that needs no sh. Says so where Wine
# cannot be had. Debian has it in wine, and what Wine 8 lacks in binutils-mingw-w64-x86-64.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v wine >/dev/null || { echo "skipped: Wine is not on this machine"; exit 0; }

work=$(mktemp -d)
trap 'rm -rf "$work" || true' EXIT
export WINEPREFIX=$work/prefix WINEDEBUG=-all
# Wine's questions are windows otherwise, for which there may be no display.
export WINEDLLOVERRIDES='mscoree,mshtml='
timeout 120 wine wineboot --init >"$work/boot.log" 2>&1 || { echo "skipped: Wine does not start: $(tail -n 1 "$work/boot.log")"; exit 0; }

# Go takes its random numbers from a library that Wine 8 lacks; one
# that hands the call on stands in there.
system=$WINEPREFIX/drive_c/windows/system32
if [ ! -f "$system/bcryptprimitives.dll" ]; then
	command -v x86_64-w64-mingw32-ld >/dev/null || { echo "skipped: this Wine has no bcryptprimitives.dll, and x86_64-w64-mingw32-ld, which would make one, is not on this machine"; exit 0; }
	printf 'LIBRARY bcryptprimitives.dll\nEXPORTS\n\tProcessPrng = advapi32.SystemFunction036\n' >"$work/shim.def"
	x86_64-w64-mingw32-as -o "$work/shim.o" /dev/null
	x86_64-w64-mingw32-ld --dll --entry=0 -o "$system/bcryptprimitives.dll" "$work/shim.o" "$work/shim.def"
fi
GOOS=windows GOARCH=amd64 CGO_ENABLED=0 go test -c -o "$work/eca.test.exe" ./hook/internal/cli
cd hook/internal/cli

# tests PATTERN...: runs the scripts of hook/internal/cli/testdata/script. What counts is what they say:
# Wine 8 cannot delete the directory of the tests at their end, which fails as a whole.
tests() { timeout 900 wine "$work/eca.test.exe" -test.v -test.run "^TestScripts\$" "$@" 2>&1 | tr -d '\r' >"$work/log" || true; }
failed() { sed -n 's|^ *--- FAIL: TestScripts/\([^ ]*\) .*|\1|p' "$work/log"; }
tests
passed=$(grep -c '^ *--- PASS: TestScripts/' "$work/log" || true)
grep '^ *--- [A-Z]*: TestScripts/' "$work/log" | sort || true
grep -q '^ *--- PASS: TestScripts/bootstrap ' "$work/log" || { tail -n 40 "$work/log"; echo "FAILED: the tests do not run under Wine"; exit 1; }
# Wine now and then fails to start a process. What fails twice more, alone, has failed.
for name in $(failed); do
	for attempt in 1 2; do
		tests -test.run "^TestScripts\$/^$name\$"
		[ -n "$(failed)" ] || break
		[ "$attempt" = 1 ] || { tail -n 60 "$work/log"; echo "FAILED: $name"; exit 1; }
	done
	echo "    $name passed when it was run again"
	passed=$((passed + 1))
done
echo "$passed passed, 0 failed"
