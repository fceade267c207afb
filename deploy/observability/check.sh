#!/bin/sh
# Whether Prometheus and Alertmanager will take what stands here, and whether alerts fire when they should.
#   deploy/observability/check.sh [FOLDER]    FOLDER: further files of rules (*.yml) to check
# promtool and amtool are taken from PATH (Debian: packages prometheus and prometheus-alertmanager), else from the images.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
more=$(cd "${1:-$here/prometheus/rules}" && pwd)

tool() { # name, image, arguments
    name=$1
    image=$2
    shift 2
    if command -v "$name" >/dev/null; then
        "$name" "$@"
    else
        docker run --rm --network none -v "$here:$here:ro" -v "$more:$more:ro" -v "$told:$told:ro" --entrypoint "$name" "$image" "$@"
    fi
}

told=$(mktemp -d)
trap 'rm -rf "$told"' EXIT
chmod 755 "$told"
prometheus=${SP_PROMETHEUS_IMAGE:-prom/prometheus:v3.5.0}
alertmanager=${SP_ALERTMANAGER_IMAGE:-prom/alertmanager:v0.28.1}

tool promtool "$prometheus" check config --syntax-only "$here/prometheus/prometheus.yml"
tool promtool "$prometheus" check rules "$here"/prometheus/rules/*.yml "$more"/*.yml
tool promtool "$prometheus" test rules "$here/prometheus/rules_test.yml"

for mail in "SP_SMTP_HOST=" "SP_SMTP_HOST=mail.example.org" "SP_SMTP_HOST=mail.example.org SP_SMTP_SECURITY=tls SP_SMTP_PORT=465"; do
    # shellcheck disable=SC2086 # several settings, none with a blank
    env $mail SP_SMTP_FROM=solar@example.org SP_SMTP_USER='a"b&c|d\e' SP_ALERTS_TO=ops@example.org \
        SP_ALERTMANAGER_FILE="$told/alertmanager.yml" sh "$here/alertmanager/run.sh" --print >/dev/null
    sed -i "s|/etc/alertmanager/|$here/alertmanager/|" "$told/alertmanager.yml"
    chmod 644 "$told/alertmanager.yml"
    tool amtool "$alertmanager" check-config "$told/alertmanager.yml"
done
if SP_SMTP_HOST=mail.example.org SP_ALERTS_TO=ops@example.org SP_SMTP_SECURITY=tls SP_SMTP_PORT=587 \
    SP_ALERTMANAGER_FILE="$told/alertmanager.yml" sh "$here/alertmanager/run.sh" --print >/dev/null 2>&1; then
    echo "check: TLS from the first byte on port 587 is taken, which Alertmanager cannot do" >&2
    exit 1
fi
