#!/bin/sh
# Alertmanager does not read its environment: this writes the settings with what `.env` says, and becomes Alertmanager.
# Without a mail server, or without anybody to write to, alerts are seen in Grafana and Prometheus only.
#   run.sh [--print]   --print: only show what it would be told
set -eu

here=$(dirname "$0")
file=${SP_ALERTMANAGER_FILE:-/tmp/alertmanager.yml}

escaped() { # first within YAML's quotes, then as what sed puts in
    printf '%s' "$1" | tr -d '\n\r' | sed -e 's/[\\"]/\\&/g' -e 's/[\\&|]/\\&/g'
}

tls=true
[ "${SP_SMTP_SECURITY:-starttls}" != none ] || tls=false
sed -e "s|@SP_SMTP_HOST@|$(escaped "${SP_SMTP_HOST:-}")|" \
    -e "s|@SP_SMTP_PORT@|$(escaped "${SP_SMTP_PORT:-587}")|" \
    -e "s|@SP_SMTP_FROM@|$(escaped "${SP_SMTP_FROM:-}")|" \
    -e "s|@SP_SMTP_USER@|$(escaped "${SP_SMTP_USER:-}")|" \
    -e "s|@SP_ALERTS_TO@|$(escaped "${SP_ALERTS_TO:-}")|" \
    -e "s|@SP_SMTP_TLS@|$tls|" \
    "$here/alertmanager.yml" >"$file"

if [ -z "${SP_SMTP_USER:-}" ]; then # a relay without a sign-in
    sed -i '/smtp_auth_/d' "$file"
fi
if [ -z "${SP_SMTP_HOST:-}" ] || [ -z "${SP_ALERTS_TO:-}" ]; then
    echo "alerts are mailed to nobody: set SP_SMTP_HOST, SP_SMTP_FROM and SP_ALERTS_TO" >&2
    sed -i -e '/^  smtp_/d' -e '/email_configs:/,$d' "$file"
fi

if [ "${1:-}" = --print ]; then
    cat "$file"
    exit 0
fi
program=$(command -v alertmanager || command -v prometheus-alertmanager)
exec "$program" --config.file="$file" --storage.path=/alertmanager --cluster.listen-address= --data.retention=120h
