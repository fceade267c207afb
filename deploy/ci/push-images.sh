#!/bin/sh
# Pushes the images that build-images.sh made, and prints "TARGET=DIGEST" for each: what a provenance is signed for.
# SP_IMAGES (with the registry) and SP_RELEASE name them; registry-login.sh says how to sign in.
set -eu
cd "$(dirname "$0")/../.."

deploy/ci/registry-login.sh
for target in platform slim gateway; do
    image=$SP_IMAGES/$target
    docker push --quiet "$image:${SP_RELEASE:?SP_RELEASE has to say which release}" >&2
    digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image:$SP_RELEASE" |
        sed -n "s|^$image@||p" | head -n 1)
    [ -n "$digest" ] || { printf 'push-images: %s was pushed, but has no digest\n' "$image" >&2; exit 1; }
    printf '%s=%s\n' "$target" "$digest"
done
