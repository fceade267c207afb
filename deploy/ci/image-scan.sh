#!/bin/sh
# Packages in images for which a fixed version can be had: deploy/ci/image-scan.sh IMAGE …
# One JSON line an image. Debian packages: those that Debian would upgrade today (with security fixes and without: an upper bound).
# Python packages: those with a known vulnerability that a later version has closed.
#   SCANNER_IMAGE    a scanner of the owner's choice with trivy's command line, run as well; default: none
#   RUN_OPTIONS      more words for docker run, such as --network host
# Exit code: 0 none, 1 some, 3 somebody could not be asked.
set -eu
cd "$(dirname "$0")/../.."

worst=0
worse() {
    if [ "$worst" = 0 ] || [ "$1" = 1 ]; then worst=$1; fi
}

debian_fixable() { # image; prints a number, or "null" when Debian cannot be asked
    # shellcheck disable=SC2086 # several words are meant
    docker run --rm ${RUN_OPTIONS:-} --user 0 --entrypoint sh "$1" -c '
        apt-get update -qq -o APT::Update::Error-Mode=any >&2 || { echo null; exit; }
        apt-get -s -qq dist-upgrade | tee /dev/stderr | grep -c "^Inst " || true'
}

python_fixable() { # image; prints a number, or "null"
    packages=$(mktemp -d)
    answer=0
    status=0
    if docker run --rm --network none --entrypoint sh "$1" -c 'test -d /opt/solarperform'; then
        deploy/ci/image-packages.sh "$1" "$packages"
        answer=$(deploy/ci/audit-python.sh "$1" --path "$packages") || status=$?
        answer=$(printf '%s' "$answer" | sed -n 's/.*"fixable": \([0-9]*\).*/\1/p')
        [ "$status" != 3 ] || answer=
    fi
    rm -rf "$packages"
    printf '%s\n' "${answer:-null}"
}

for image in "$@"; do
    debian=$(debian_fixable "$image")
    python=$(python_fixable "$image")
    printf '{"image": "%s", "debian_fixable": %s, "python_fixable": %s}\n' "$image" "$debian" "$python"
    case "$debian $python" in
        *null*) worse 3 ;;
        '0 0') ;;
        *) worse 1 ;;
    esac
    if [ -n "${SCANNER_IMAGE:-}" ]; then
        docker run --rm --volume /var/run/docker.sock:/var/run/docker.sock "$SCANNER_IMAGE" \
            image --ignore-unfixed --exit-code 1 "$image" >&2 || worse 1
    fi
done
exit "$worst"
