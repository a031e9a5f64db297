#!/bin/sh
# Enables OAuth on the External Client Apps of a package that sfp has just
# deployed, or of a scratch org that sfp has just prepared for a pool.
#
# Name this file as "postDeploymentScript" of the package that holds the apps'
# headers in sfdx-project.json, or as "postDeploymentScriptPath" of a pool. sfp
# copies it into the artifact under another name and runs it as one of
#
#     sh -e SCRIPT PACKAGE USERNAME ALIAS SOURCE PACKAGE_DIRECTORY
#     sh -e SCRIPT SCRATCH_ORG_USERNAME HUB_USERNAME STATUS
#
# from the directory in which it was started itself. All the work is done by the
# eca command, which must be on the machine: on the PATH, in the project's bin or
# node_modules (npm install --save-dev @ecakit/eca), or where ECA_BIN says.

set -eu

case $# in
5)
	export SFP_PACKAGE_NAME="$1" SFP_TARGET_USERNAME="$2" SFP_TARGET_ALIAS="$3"
	export SFP_WORKING_DIRECTORY="$4" SFP_PACKAGE_DIRECTORY="$5"
	unset SFP_HUB_USERNAME SFP_DEPLOYMENT_STATUS
	;;
2 | 3)
	export SFP_TARGET_USERNAME="$1" SFP_HUB_USERNAME="$2" SFP_DEPLOYMENT_STATUS="${3:-}"
	unset SFP_PACKAGE_NAME SFP_TARGET_ALIAS SFP_WORKING_DIRECTORY SFP_PACKAGE_DIRECTORY
	;;
esac

if [ -n "${ECA_BIN:-}" ]; then
	if [ ! -f "$ECA_BIN" ] || [ ! -x "$ECA_BIN" ]; then
		printf '%s\n' "error: ECA_BIN is $ECA_BIN, which is not a program" "hint: set ECA_BIN to the path of the eca binary, or unset it" >&2
		exit 1
	fi
	eca=$ECA_BIN
elif command -v eca >/dev/null 2>&1; then
	eca=eca
elif [ -x ./bin/eca ]; then
	eca=./bin/eca
elif [ -x ./node_modules/.bin/eca ]; then
	eca=./node_modules/.bin/eca
else
	printf '%s\n' "error: the eca command is not on this machine, so OAuth was not enabled on the apps of ${1:-this package}" "hint: install it with 'npm install --save-dev @ecakit/eca' or 'go install github.com/ecakit/ecakit/hook/eca@latest', put it into $(pwd)/bin, or set ECA_BIN to where it is, and deploy again" >&2
	exit 1
fi

exec "$eca" hook "$@"
