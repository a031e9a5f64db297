#!/bin/sh
# Brings back all apps of the project here to a sandbox that was refreshed, and proves it.
#
#   scripts/refresh-sandbox.sh ORG [ORG-THAT-CALLS-IT...]
#
# Log in to the orgs with sf first: a refresh ends sessions.
set -eu
org=${1:?usage: scripts/refresh-sandbox.sh ORG [ORG-THAT-CALLS-IT...]}
shift
eca=${ECA_BIN:-eca}
"$eca" bootstrap -o "$org" --headers --apply-policies
# The connections of plugins.eca: those of this org, and those of the orgs that call it.
if grep -q '"connections"' sfdx-project.json; then
	for caller in "$org" "$@"; do
		"$eca" connect -o "$caller" --enable-access
	done
fi
"$eca" verify -o "$org" --enable-access
