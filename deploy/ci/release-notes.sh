#!/bin/sh
# Prints what CHANGELOG.md says of a release: deploy/ci/release-notes.sh v1.2.3
# Fails when there is no such section, when it is empty, or when pyproject.toml is of another version.
set -eu
cd "$(dirname "$0")/../.."

fail() {
    printf 'release-notes: %s\n' "$1" >&2
    exit 1
}

tag=${1:-}
version=${tag#v}
case $tag in
    v[0-9]*.[0-9]*.[0-9]*) ;;
    *) fail "'$tag' is no tag of a release: it has to look like v1.2.3" ;;
esac

written=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
[ "$written" = "$version" ] || fail "the tag is $tag, but pyproject.toml says version $written: set one of them right"

notes=$(awk -v heading="## $version" '
    /^## / { inside = ($0 == heading || index($0, heading " ") == 1); next }
    inside
' CHANGELOG.md)
printf '%s' "$notes" | grep -q '[^[:space:]]' ||
    fail "CHANGELOG.md has nothing under '## $version': give 'Unreleased' its version and date before the tag is made"
printf '%s\n' "$notes" | sed -e '/./,$!d'
