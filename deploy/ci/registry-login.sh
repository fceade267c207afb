#!/bin/sh
# Signs in to the registry that SP_IMAGES names (registry.example:5000/solarperform), as REGISTRY_USER with REGISTRY_PASSWORD.
# Without REGISTRY_USER nothing is done: whoever calls has signed in, or the registry asks nobody.
set -eu

registry=${SP_IMAGES:?SP_IMAGES has to name the registry}
registry=${registry%%/*}
case $registry in
    *.* | *:* | localhost) ;;
    *)
        printf "registry-login: '%s' names no registry: SP_IMAGES has to look like registry.example:5000/solarperform\n" "$SP_IMAGES" >&2
        exit 1
        ;;
esac
[ -n "${REGISTRY_USER:-}" ] || exit 0
printf '%s' "${REGISTRY_PASSWORD:?REGISTRY_USER needs REGISTRY_PASSWORD}" |
    docker login --username "$REGISTRY_USER" --password-stdin "$registry" >&2
