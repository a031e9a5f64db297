#!/bin/sh
# Builds eca as it is to be installed: static, stripped, the same bytes for the same
# commit and Go version in any directory. It is the program that go install builds.
#
#     scripts/build.sh FILE
set -e
case ${1:?say where the binary goes, like /usr/local/bin/eca} in
/*) to=$1 ;;
*) to=$PWD/$1 ;;
esac
CDPATH='' cd -- "$(dirname "$0")/.."
# What this machine has set for Go's builds in general does not count.
CGO_ENABLED=0 GOAMD64=v1 GOFLAGS=-buildvcs=auto exec go build -trimpath -ldflags='-s -w' -o "$to" ./hook/eca
