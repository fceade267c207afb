#!/bin/sh
# Runs the gateway: writes nginx's configuration, starts it, and lets it read it anew when a certificate, a key, the tokens'
# public keys or the address of a service have changed, and what it would then read is good. Connections stay open over that.
#
#   SP_HOST        the portal's name            SP_PUBLIC_URL  as people type it; tokens name it as their issuer
# and, for other places than the image: SP_GATEWAY_{SECRETS,RUN,MODULE,NGINX,LOG,LISTEN,HEALTH_PORT,WEB,PKI,PKI_NAME}.
# SIGQUIT and SIGTERM end it: what is being answered gets some seconds.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
SP_HOST=${SP_HOST:-localhost}
SP_HTTPS_PORT=${SP_HTTPS_PORT:-443}
[ "$SP_HTTPS_PORT" = 443 ] && port='' || port=":$SP_HTTPS_PORT"
SP_PUBLIC_URL=${SP_PUBLIC_URL:-https://$SP_HOST$port}
SP_GATEWAY_SECRETS=${SP_GATEWAY_SECRETS:-/run/secrets}
SP_GATEWAY_RUN=${SP_GATEWAY_RUN:-/tmp/gateway}
SP_GATEWAY_MODULE=${SP_GATEWAY_MODULE:-/usr/lib/nginx/modules/ngx_http_js_module.so}
SP_GATEWAY_LOG=${SP_GATEWAY_LOG:-/dev/stdout}
SP_GATEWAY_HEALTH_PORT=${SP_GATEWAY_HEALTH_PORT:-8080}
SP_GATEWAY_PKI_NAME=${SP_GATEWAY_PKI_NAME:-pki}
nginx=${SP_GATEWAY_NGINX:-nginx}
listen=${SP_GATEWAY_LISTEN:-8443}
web=${SP_GATEWAY_WEB:-web:8000}
pki=${SP_GATEWAY_PKI:-pki:8443}
look_s=2 # how soon a change is seen
stop_s=5 # for what is being answered when it ends
misses_max=10 # looks in a row that find nothing, before a service counts as away
nobody='server 127.0.0.1:1;'
workers=$(nproc 2>/dev/null || echo 1)
[ "$workers" -le 4 ] || workers=4 # after a reload the old ones stay, too, and memory and processes are limited
web_servers=$nobody pki_servers=$nobody web_misses=0 pki_misses=0

say() {
    printf '{"event":"%s","timestamp":"%s","detail":"%s"}\n' "$1" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$2" >&2
}

# The addresses behind $1 (host:port), as nginx's servers; nothing where none was found. Why not, getent does not tell: it ends
# alike when there is no such name and when the resolver is being restarted.
addresses() {
    found=$(timeout 2 getent ahosts "${1%:*}" 2>/dev/null) || return 0
    echo "$found" | sed -n 's/^\([^ ]*\) *STREAM.*/\1/p' | sed 's/.*:.*/[&]/' | sort -u | sed "s/.*/server &:${1##*:};/"
}

# `servers` and `misses` of $1, which before this look were $2 and $3. Who was not found a moment ago is asked where he was:
# if he is away indeed, nginx is a few seconds slower to say so.
look_up() {
    servers=$(addresses "$1") misses=0
    if [ -z "$servers" ]; then
        servers=$2 misses=$(($3 + 1))
        [ "$misses" -lt "$misses_max" ] || servers=$nobody
    fi
}

http2() {
    version=$("$nginx" -v 2>&1 | sed 's|.*/\([0-9]*\)\.\([0-9]*\)\.\([0-9]*\).*|\1 \2 \3|')
    # shellcheck disable=SC2086 # three words
    set -- $version
    [ $(($1 * 1000000 + $2 * 1000 + $3)) -ge 1025001 ]
}

write_listeners() {
    for kind in '' _default; do
        options=${kind#_}
        [ -z "$options" ] || options=' default_server'
        if http2; then
            printf 'listen %s ssl%s;\nhttp2 on;\n' "$listen" "$options"
        else
            printf 'listen %s ssl http2%s;\n' "$listen" "$options"
        fi >"$SP_GATEWAY_RUN/conf/listen$kind.conf"
    done
}

# What the workers remember together; only newer modules can.
write_memory() {
    if grep -q js_shared_dict_zone "$SP_GATEWAY_MODULE"; then
        echo 'js_shared_dict_zone zone=verified:8m timeout=60s evict type=number;'
    fi >"$SP_GATEWAY_RUN/conf/memory.conf"
}

write_upstreams() {
    look_up "$web" "$web_servers" "$web_misses"
    web_servers=$servers web_misses=$misses
    look_up "$pki" "$pki_servers" "$pki_misses"
    pki_servers=$servers pki_misses=$misses
    printf 'upstream web {\n%s\nkeepalive 64;\nkeepalive_timeout 4s;\n}\nupstream pki {\n%s\n}\n' \
        "$web_servers" "$pki_servers" >"$SP_GATEWAY_RUN/conf/upstreams.new"
    mv "$SP_GATEWAY_RUN/conf/upstreams.new" "$SP_GATEWAY_RUN/conf/upstreams.conf" # whoever reads it finds a whole one
}

write_configuration() {
    mkdir -p "$SP_GATEWAY_RUN/conf"
    for file in "$here"/*.conf "$here"/*.js; do
        sed -e "s|\${SP_HOST}|$SP_HOST|g" -e "s|\${SP_PUBLIC_URL}|$SP_PUBLIC_URL|g" \
            -e "s|\${SP_GATEWAY_SECRETS}|$SP_GATEWAY_SECRETS|g" -e "s|\${SP_GATEWAY_RUN}|$SP_GATEWAY_RUN|g" \
            -e "s|\${SP_GATEWAY_MODULE}|$SP_GATEWAY_MODULE|g" \
            -e "s|\${SP_GATEWAY_LOG}|$SP_GATEWAY_LOG|g" -e "s|\${SP_GATEWAY_HEALTH_PORT}|$SP_GATEWAY_HEALTH_PORT|g" \
            -e "s|\${SP_GATEWAY_PKI_NAME}|$SP_GATEWAY_PKI_NAME|g" -e "s|\${SP_GATEWAY_WORKERS}|$workers|g" \
            "$file" >"$SP_GATEWAY_RUN/conf/${file##*/}"
    done
    write_listeners
    write_memory
    write_upstreams
}

test_configuration() {
    "$nginx" -e stderr -p "$SP_GATEWAY_RUN" -c "$SP_GATEWAY_RUN/conf/nginx.conf" -q -t
}

# nginx names a request's whole address when it logs an error, and set-up and invitation links are secrets. In the shell's own
# words: not every sed writes a line when it has read it.
without_queries() {
    while IFS= read -r line; do
        clean=''
        while [ "$line" != "${line%%\?*}" ]; do
            clean="$clean${line%%\?*}?..."
            line=${line#*\?}
            line=${line#"${line%%[ \"]*}"}
        done
        printf '%s\n' "$clean$line"
    done
}

# What nginx has read, in a few characters.
state() {
    find -L "$SP_GATEWAY_SECRETS" -type f -exec sha256sum {} + 2>/dev/null | sort
    cat "$SP_GATEWAY_RUN/conf/upstreams.conf"
}

stop() {
    say gateway_stops "what is being answered gets $stop_s s"
    kill -QUIT "$gateway" 2>/dev/null || true
    (sleep "$stop_s" && kill -TERM "$gateway" 2>/dev/null) &
    timer=$!
    while kill -0 "$gateway" 2>/dev/null; do wait "$gateway" || true; done
    kill "$timer" 2>/dev/null || true
    exit 0
}

write_configuration
test_configuration || { say gateway_not_started "nginx does not take this configuration; the reason stands above"; exit 1; }

errors="$SP_GATEWAY_RUN/errors"
rm -f "$errors"
mkfifo "$errors"
without_queries <"$errors" >&2 &
read_before=$(state)
"$nginx" -e stderr -p "$SP_GATEWAY_RUN" -c "$SP_GATEWAY_RUN/conf/nginx.conf" -g 'daemon off;' 2>"$errors" &
gateway=$!
trap stop QUIT TERM INT
say gateway_starts "$SP_PUBLIC_URL, listening on $listen"

while kill -0 "$gateway" 2>/dev/null; do
    sleep "$look_s" &
    wait $! || true
    write_upstreams
    now=$(state)
    [ "$now" != "$read_before" ] || continue
    if reason=$(test_configuration 2>&1); then
        kill -HUP "$gateway"
        read_before=$now
        say gateway_reloads "certificates, keys or addresses have changed"
    elif [ "$now" != "${refused:-}" ]; then
        refused=$now
        say gateway_keeps "what has changed is not good (yet): $(printf %s "$reason" | tr '\n"\\' '   ')"
    fi
done
wait "$gateway" && code=0 || code=$?
say gateway_ended "nginx has ended by itself with $code"
exit 1
