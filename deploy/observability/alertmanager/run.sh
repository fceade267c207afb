#!/bin/sh
# Alertmanager does not read its environment: this writes the settings with what `.env` says, and becomes Alertmanager.
# Without a mail server, or without anybody to write to, alerts are seen in Grafana and Prometheus only.
#   run.sh [--print]   --print: only show what it would be told
# Exit code 1: what is set cannot be meant, or Alertmanager cannot do it; it had better not start than lose alerts.
set -eu

here=$(dirname "$0")
file=${SP_ALERTMANAGER_FILE:-/tmp/alertmanager.yml}

refuse() { # why, and what to do
    security=$(printf '%s' "$security" | tr -cd '[:alnum:]_-')
    printf '{"level":"error","event":"alertmanager_stopped","code":"bad_settings","error":"SP_SMTP_SECURITY=%s: %s"}\n' \
        "$security" "$1" >&2
    exit 1
}

escaped() { # first within YAML's quotes, then as what sed puts in
    printf '%s' "$1" | tr -d '\n\r' | sed -e 's/[\\"]/\\&/g' -e 's/[\\&|]/\\&/g'
}

mailed=false
[ -z "${SP_SMTP_HOST:-}" ] || [ -z "${SP_ALERTS_TO:-}" ] || mailed=true

# Alertmanager speaks TLS from the first byte on port 465 and on no other; what it calls "require TLS" is STARTTLS alone.
security=${SP_SMTP_SECURITY:-starttls}
port=${SP_SMTP_PORT:-587}
starttls=false
case $mailed:$security:$port in
    false:* | true:tls:465) ;;
    true:tls:*) refuse "alerts are mailed so by port 465 only: set SP_SMTP_PORT=465, or SP_SMTP_SECURITY=starttls" ;;
    true:starttls:465 | true:none:465) refuse "by port 465 alerts are mailed with tls only: set it, or another SP_SMTP_PORT" ;;
    true:starttls:*) starttls=true ;;
    true:none:*) ;;
    *) refuse "it is starttls, tls or none" ;;
esac
sed -e "s|@SP_SMTP_HOST@|$(escaped "${SP_SMTP_HOST:-}")|" \
    -e "s|@SP_SMTP_PORT@|$(escaped "$port")|" \
    -e "s|@SP_SMTP_FROM@|$(escaped "${SP_SMTP_FROM:-}")|" \
    -e "s|@SP_SMTP_USER@|$(escaped "${SP_SMTP_USER:-}")|" \
    -e "s|@SP_ALERTS_TO@|$(escaped "${SP_ALERTS_TO:-}")|" \
    -e "s|@SP_SMTP_STARTTLS@|$starttls|" \
    "$here/alertmanager.yml" >"$file"

if [ -z "${SP_SMTP_USER:-}" ]; then # a relay without a sign-in
    sed -i '/smtp_auth_/d' "$file"
fi
if [ "$mailed" = false ]; then
    echo "alerts are mailed to nobody: set SP_SMTP_HOST, SP_SMTP_FROM and SP_ALERTS_TO" >&2
    sed -i -e '/^  smtp_/d' -e '/email_configs:/,$d' "$file"
fi

if [ "${1:-}" = --print ]; then
    cat "$file"
    exit 0
fi
program=$(command -v alertmanager || command -v prometheus-alertmanager)
exec "$program" --config.file="$file" --storage.path=/alertmanager --cluster.listen-address= --data.retention=120h
