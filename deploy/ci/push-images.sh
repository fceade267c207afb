#!/bin/sh
# Pushes the images that build-images.sh made, and prints "TARGET NAME DIGEST" for each: what a provenance is signed for.
#   SP_IMAGES, SP_RELEASE            as in build-images.sh; SP_IMAGES has to name the registry
#   REGISTRY_USER, REGISTRY_PASSWORD sign in with these; without them whoever calls has signed in
set -eu
cd "$(dirname "$0")/../.."

names=${SP_IMAGES:?SP_IMAGES has to say where to: REGISTRY/NAME}
release=${SP_RELEASE:?SP_RELEASE has to say which release}
registry=${names%%/*}
case $registry in
    *.* | *:* | localhost) ;;
    *) printf "push-images: '%s' names no registry: SP_IMAGES has to look like registry.example:5000/solarperform\n" "$names" >&2; exit 1 ;;
esac

if [ -n "${REGISTRY_USER:-}" ]; then
    printf '%s' "${REGISTRY_PASSWORD:?REGISTRY_USER needs REGISTRY_PASSWORD}" |
        docker login --username "$REGISTRY_USER" --password-stdin "$registry" >&2
fi
for target in platform slim gateway; do
    docker push --quiet "$names/$target:$release" >&2
    digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$names/$target:$release" |
        sed -n "s|^$names/$target@||p" | head -n 1)
    [ -n "$digest" ] || { printf 'push-images: %s was pushed, but has no digest\n' "$target" >&2; exit 1; }
    printf '%s %s %s\n' "$target" "$names/$target" "$digest"
done
