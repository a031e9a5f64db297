#!/bin/sh
# The action's work: runs eca on the project in the working directory, and tells the outcome to
# the job. The inputs are INPUT_ variables, so that none is taken for a command.
set -eu

fail() {
	echo "eca action: $*" >&2
	exit 2
}
output() { echo "$1=$2" >>"$GITHUB_OUTPUT"; }
command=$INPUT_COMMAND
case $command in lint | plan | bootstrap | audit) ;; *) fail "command is '$command'; it can be lint, plan, bootstrap or audit" ;; esac

case $INPUT_VERSION in '' | [!0-9A-Za-z]* | *[!0-9A-Za-z.+-]*) fail "version is '$INPUT_VERSION'; give one like 1.2.3" ;; esac

# The checkout decides neither which eca runs nor what its installation executes: it is what the job checks, and
# the job has sessions.
own=$RUNNER_TEMP/eca-$INPUT_VERSION # from npm, for all steps of the job
if [ "${INPUT_USE_PROJECT_ECA:-false}" = true ]; then
	PATH=$PWD/node_modules/.bin:$PATH
	found=$(command -v eca || :)
else
	found=$(command -v eca || :)
	case ${found:+$(cd "$(dirname "$found")" && pwd -P)}/ in "$(cd "$GITHUB_WORKSPACE" && pwd -P)"/*) found='' ;; esac
fi
if [ -z "$found" ]; then
	[ -e "$own/node_modules/.bin/eca" ] ||
		(cd "$RUNNER_TEMP" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error --prefix "$own" "@ecakit/eca@$INPUT_VERSION")
	PATH=$own/node_modules/.bin:$PATH
fi
eca version

# One line is one argument.
set --
while IFS= read -r org; do
	[ -z "$org" ] || set -- "$@" -o "$org"
done <<END
$INPUT_ORGS
END
while IFS= read -r arg; do
	[ -z "$arg" ] || set -- "$@" "$arg"
done <<END
$INPUT_ARGS
END

sarif=$RUNNER_TEMP/eca-$command.sarif
rm -f "$sarif" # of another step
code=0
case $command in
lint)
	# Code scanning wants paths from the repository's root. The job's log gets the findings as text.
	cd "$GITHUB_WORKSPACE"
	eca lint --format sarif "$@" "$INPUT_DIRECTORY" >"$sarif" 2>/dev/null || true
	eca lint "$@" "$INPUT_DIRECTORY" || code=$?
	;;
audit) eca audit "$@" --format sarif --output "$sarif" || code=$? ;;
plan)
	eca plan --exit-code "$@" || code=$?
	case $code in
	0) output changes false ;;
	3) output changes true && code=0 ;;
	esac
	;;
*) eca "$command" "$@" || code=$? ;;
esac
# A run that failed before it had findings leaves no such file.
if [ -s "$sarif" ]; then output sarif "$sarif"; fi
exit $code
