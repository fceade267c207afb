#!/bin/sh
# Mosquitto in a container of its own. The guard is in another one and cannot send it signals, so it changes the file
# `reload`, and this script passes that on as SIGHUP. `run` names this run of the broker for as long as it lasts.
set -eu
home=/mosquitto/config

mosquitto -c "$home/mosquitto.conf" &
broker=$!
trap 'kill -TERM "$broker"' TERM INT

read -r name </proc/sys/kernel/random/uuid
printf '%s\n' "$name" >"$home/.run.new"
mv "$home/.run.new" "$home/run"

told() { read -r asked 2>/dev/null <"$home/reload" || asked=''; }

told
last=$asked
while kill -0 "$broker" 2>/dev/null; do
    told
    if [ "$asked" != "$last" ]; then
        last=$asked
        kill -HUP "$broker" || true
    fi
    sleep 0.2 & wait $! || true # so that a signal is heard at once
done
rm -f "$home/run"
status=0
wait "$broker" || status=$?
exit "$status"
