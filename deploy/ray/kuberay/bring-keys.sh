#!/bin/sh
# Makes the Secret that the pods read, or brings it up to date: deploy/ray/kuberay/bring-keys.sh
# Run where the authority runs (the services init-pki, pki and keys of docker-compose.yml), at once and then daily by cron: only
# there certificates are renewed. Pods see the new files within two minutes; shards read them at their next connection.
#   SP_PLATFORM_IMAGE      the platform's image, which is on this machine already
#   COMPOSE_PROJECT_NAME   of the installation here; default: solarperform
set -eu

project=${COMPOSE_PROJECT_NAME:-solarperform}
folder=$(mktemp -d -p /dev/shm) # in memory
trap 'rm -rf "$folder"' EXIT
docker run --rm --pull never --network none --user 10001:10001 --read-only --cap-drop ALL --security-opt no-new-privileges \
    --volume "${project}_keys-ray:/keys/ray:ro" --volume "${project}_keys-ray-head:/keys/head:ro" \
    "${SP_PLATFORM_IMAGE:-solarperform/platform:0.1.0}" tar -czC /keys/ray . -C /keys/head redis | tar -xzC "$folder"
cd "$folder"
kubectl --namespace solarperform create secret generic solarperform-ray --dry-run=client --output yaml \
    --from-file=ray_token --from-file=redis --from-file=sp_twins --from-file=servers.pem \
    --from-file=sp-twins/chain.pem --from-file=sp-twins/key.pem >secret.yaml
kubectl apply --server-side --force-conflicts --filename secret.yaml
