#!/bin/sh
# Mosquitto in a container of its own. The guard is in another one and cannot send it signals, so it changes the file
# `reload`, and this script passes that on as SIGHUP. `run` names this run of the broker for as long as it lasts.
# What Mosquitto says goes to the container's log, and to a file in which the twins read what it refused and dropped.
set -eu
home=/mosquitto/config
log=/mosquitto/log/mosquitto.log
log_bytes_max=20000000
said=/dev/shm/said

umask 022
rm -f "$said"
mkfifo "$said"
tee -a "$log" <"$said" &
mosquitto -c "$home/mosquitto.conf" >"$said" 2>&1 &
broker=$!
trap 'kill -TERM "$broker"' TERM INT

read -r name </proc/sys/kernel/random/uuid
printf '%s\n' "$name" >"$home/.run.new"
mv "$home/.run.new" "$home/run"

told() { asked=''; { read -r asked <"$home/reload"; } 2>/dev/null || true; }

told
last=$asked
turns=0
while kill -0 "$broker" 2>/dev/null; do
    told
    if [ "$asked" != "$last" ]; then
        last=$asked
        kill -HUP "$broker" || true
    fi
    turns=$((turns + 1))
    if [ $((turns % 300)) = 0 ] && [ "$(wc -c <"$log")" -gt "$log_bytes_max" ]; then
        : >"$log"
    fi
    sleep 0.2 &
    wait $! || true # a signal is heard at once
done
rm -f "$home/run"
status=0
wait "$broker" || status=$?
exit "$status"
