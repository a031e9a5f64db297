#!/bin/sh
# Makes all that a release consists of: archives for Linux, macOS and Windows, npm packages, the
# file of a container image, a bill of materials, a changelog, and checksums.
#
#     scripts/release.sh DIR [PLATFORM]...
#
# PLATFORM is one like linux_amd64; otherwise all six. This machine's must be among them.
# The version is that of the commit's tag, as go build sees it. The same commit gives the same
# bytes in any directory, with the same versions of Go and npm. Needs GNU tar, zip and npm.
set -eu
sbom=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

mkdir -p "${1:?say where the release goes, like dist}"
to=$(CDPATH='' cd -- "$1" && pwd)
CDPATH='' cd -- "$(dirname "$0")/.."
fail() {
	echo "release: $*" >&2
	exit 1
}
[ -z "$(ls -A "$to")" ] || fail "$to has files already; name a new folder"
changes=$(git status --porcelain) || fail "this is no git checkout"
[ -z "$changes" ] || fail "the checkout has changes that no commit has; commit or stash them"
for tool in npm zip; do command -v $tool >/dev/null || fail "$tool is not on this machine; install it"; done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What goes into files: no time but the commit's, one order, one mode.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C
umask 022

shift
[ $# -gt 0 ] || set -- linux_amd64 linux_arm64 darwin_amd64 darwin_arm64 windows_amd64 windows_arm64
for platform; do
	os=${platform%_*} exe=
	[ "$os" != windows ] || exe=.exe
	GOOS=$os GOARCH=${platform#*_} scripts/build.sh "$work/binaries/$platform/eca$exe"
done
version=$("$work/binaries/$(go env GOHOSTOS)_$(go env GOHOSTARCH)/eca" --version)
version=${version#v}

# The licences of what the binary consists of, which ask to be passed on with it.
licences() {
	echo "eca contains these modules, and Go's standard library."
	for os in linux darwin windows; do
		GOOS=$os go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./hook/eca
	done | sort -u | while read -r module of dir; do
		printf '\n---- %s %s\n\n' "$module" "$of"
		text=$(find "$dir" -maxdepth 1 \( -iname 'licen[cs]e*' -o -iname 'copying*' \) -exec cat {} +)
		echo "${text:?"$module states no licence"}"
	done
	printf '\n---- Go\n\n'
	cat "$(go env GOROOT)/LICENSE"
}
# What changed for users, with the version in the place of the heading of what is not released.
changelog() { sed "s/^## Unreleased\$/## $version ($(git log -1 --format=%cs))/; s/ Nothing is released yet\.\$//" CHANGELOG.md; }
licences >"$work/LICENSES.txt"
changelog >"$to/CHANGELOG.md"
for platform in "$work"/binaries/*; do
	name=eca_${version}_${platform##*/}
	mkdir "$work/$name"
	cp "$platform"/eca* README.md LICENSE "$work/LICENSES.txt" "$to/CHANGELOG.md" "$work/$name/"
	chmod -R u=rwX,go=rX "$work/$name" # whatever the checkout's modes are
	find "$work/$name" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
	case $name in
	*_windows_*) (cd "$work/$name" && zip -9 -q -X "$to/$name.zip" -- *) ;;
	*) tar -C "$work/$name" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=ustar -cf - . | gzip -9 -n >"$to/$name.tar.gz" ;;
	esac
done
hook/sf-plugin/pack.js "$to" "$work/binaries"
GOFLAGS=-trimpath go run $sbom mod -json -licenses -noserial -notimestamp -output "$to/eca_$version.cdx.json" . || fail "the bill of materials cannot be made"
sed "s/^ARG VERSION\$/ARG VERSION=$version/" hook/pipelines/Dockerfile >"$to/Dockerfile"
(cd "$to" && sha256sum -- * >"$work/checksums.txt")
mv "$work/checksums.txt" "$to/"
echo "$to: $(find "$to" -type f | wc -l) files of eca $version"
