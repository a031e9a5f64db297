#!/bin/sh
# Builds eca as it is to be installed: static, stripped, the same bytes for the same
# commit and Go version in any directory. Without HTTP/2, which a handful of requests
# to an org gains nothing by, it is half a megabyte smaller.
#
#     scripts/build.sh FILE
set -e
case ${1:?say where the binary goes, like /usr/local/bin/eca} in
/*) to=$1 ;;
*) to=$PWD/$1 ;;
esac
cd "$(dirname "$0")/.."
CGO_ENABLED=0 exec go build -trimpath -tags nethttpomithttp2 -ldflags='-s -w' -o "$to" ./hook/eca
