#!/usr/bin/env bash
# Is this installation what it should be, seen from outside? Through the gateway, the broker and the drop box:
#   deploy/ci/smoke.sh [HOST]         default: SP_HOST, else localhost
#   SP_HTTPS_PORT, SP_MQTT_PORT, SP_SFTP_PORT   as in .env; default: 443, 8883, 2222
#   SMOKE_CA                         whom to trust for the gateway's certificate; default: only that it speaks TLS is looked at
# Changes nothing, knows no password. Every check runs; exit code 1 when one failed.
set -euo pipefail

host=${1:-${SP_HOST:-localhost}}
gateway=https://$host:${SP_HTTPS_PORT:-443}
trust=(--insecure)
[ -z "${SMOKE_CA:-}" ] || trust=(--cacert "$SMOKE_CA")
failed=0

report() { # what, 0 or 1, why
    if [ "$2" = 0 ]; then
        printf 'smoke: ok      %s\n' "$1"
    else
        printf 'smoke: FAILED  %s: %s\n' "$1" "$3"
        failed=1
    fi
}

answers() { # what, path, status, text that has to be in it
    local said
    said=$(curl --silent --show-error --max-time 20 "${trust[@]}" --write-out '\n%{http_code} %{content_type}' "$gateway$2" 2>&1) || true
    if [[ ${said##*$'\n'} == "$3 "* && $said == *"$4"* ]]; then
        report "$1" 0
    else
        report "$1" 1 "GET $gateway$2 gives ${said##*$'\n'} instead of $3 with '$4'"
    fi
}

answers 'the web is alive behind the gateway' /health/live 200 ''
answers 'people can sign in' /login 200 '<form'
answers 'keys of access tokens are public' /api/v1/auth/jwks.json 200 '"keys"'
answers 'nobody sees sites without a token' /api/v1/sites 401 application/problem+json
answers 'figures are not for outside' /metrics 404 ''

mqtt=${SP_MQTT_PORT:-8883}
if timeout 20 openssl s_client -connect "$host:$mqtt" </dev/null 2>&1 | grep -q 'BEGIN CERTIFICATE'; then
    report 'the broker speaks TLS' 0
else
    report 'the broker speaks TLS' 1 "nothing on $host:$mqtt shows a certificate"
fi
sftp=${SP_SFTP_PORT:-2222}
# shellcheck disable=SC2016 # the inner shell reads its own arguments
if timeout 20 bash -c 'exec 3<>"/dev/tcp/$0/$1" && read -r banner <&3 && [[ $banner == SSH-2.0-* ]]' "$host" "$sftp" 2>/dev/null; then
    report 'the drop box speaks SSH' 0
else
    report 'the drop box speaks SSH' 1 "nothing on $host:$sftp says SSH-2.0"
fi
exit "$failed"
