#!/bin/sh
# Brings what the volume keys-ray holds to other machines with shards: deploy/ray/bring-keys.sh USER@MACHINE...
# Run on the first machine, at once and then daily by cron, for certificates are renewed there only. USER may call Docker; the
# folder /etc/solarperform/keys belongs to user 10001. Each file takes the place of the one before whole or not at all, and
# shards read them at their next connection: nothing has to be restarted.
#   SP_PLATFORM_IMAGE      the platform's image, as in cluster.yaml; on every machine already
#   COMPOSE_PROJECT_NAME   of the installation; default: solarperform
# Exit code 1: a machine has them not; the others do.
set -eu

[ $# -gt 0 ] || { echo "bring-keys: to which machines? bring-keys.sh USER@MACHINE..." >&2; exit 2; }
image=${SP_PLATFORM_IMAGE:-solarperform/platform:0.1.0}
confined="--rm --pull never --network none --user 10001:10001 --read-only --cap-drop ALL --security-opt no-new-privileges"
# Compressed, so that an end that is missing is noticed before anything is replaced.
take_in='set -eu; umask 077; cd /keys; rm -rf .coming; mkdir .coming; tar -xzC .coming
    cd .coming; find . -mindepth 1 -type d | while read -r folder; do mkdir -p "../$folder"; done
    find . -type f | while read -r file; do mv -f "$file" "../$file"; done
    cd ..; rm -r .coming'

failed=0
for machine; do
    # shellcheck disable=SC2086 # options, one word each
    docker run $confined --volume "${COMPOSE_PROJECT_NAME:-solarperform}_keys-ray:/keys:ro" "$image" tar -czC /keys . |
        timeout 120 ssh -o BatchMode=yes -o ConnectTimeout=20 "$machine" \
            "docker run --interactive $confined --volume /etc/solarperform/keys:/keys '$image' sh -c '$take_in'" || {
        echo "bring-keys: $machine keeps the keys that it has; certificates in them end within 90 days" >&2
        failed=1
    }
done
exit "$failed"
