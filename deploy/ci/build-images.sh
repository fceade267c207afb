#!/bin/sh
# Builds the images of deploy/Dockerfile: deploy/ci/build-images.sh [TARGET …]
#   SP_IMAGES        their common name, with the registry's before it where there is one; default: solarperform
#   SP_RELEASE       their tag; default: the version in pyproject.toml
#   BUILD_OPTIONS    more words for docker build, such as --pull or --no-cache
set -eu
cd "$(dirname "$0")/../.."

names=${SP_IMAGES:-solarperform}
release=${SP_RELEASE:-$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
[ $# -gt 0 ] || set -- platform slim gateway

for target in "$@"; do
    printf 'build-images: %s/%s:%s\n' "$names" "$target" "$release" >&2
    # shellcheck disable=SC2086 # several words are meant
    DOCKER_BUILDKIT=1 docker build ${BUILD_OPTIONS:-} --file deploy/Dockerfile --target "$target" --tag "$names/$target:$release" \
        --build-arg "RELEASE=$release" --build-arg "REVISION=$revision" .
done
