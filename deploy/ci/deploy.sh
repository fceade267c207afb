#!/usr/bin/env bash
# Brings a release to this machine, looks at it from outside, and goes back to the one before when it is not well:
#   deploy/ci/deploy.sh RELEASE
# Run in a checkout of that release. What a release was started with (docker-compose.yml, deploy/) is kept beside its
# number, so that going back starts the images of before with the files of before. The database stays: migrations only
# add what code of the release before goes on without.
#   SP_STATE         where releases are kept; default: ~/solarperform. The owner's .env lies there and names at least SP_HOST;
#                    `release` leads to the one that runs, to work in by hand. COMPOSE_FILE counts, as Compose reads it
#   SP_IMAGES        as in build-images.sh; what is not on this machine is pulled. Images of others are pulled each time:
#                    they are mended under the same tags. Where no registry answers, those of this machine have to do
#   SP_OWNER_DIR, SP_BACKUP_DIR   as in .env; default: owner, backups in SP_STATE
#   WAIT_S           how long everything may take to be healthy; default: 180
#   SMOKE            another command that says whether all is well; default: smoke.sh
# Exit code: 0 the new release runs, 1 the one before runs again, 2 neither does.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

release=${1:?which release?}
[[ $release =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]*$ ]] || { echo "deploy: '$release' is no release" >&2; exit 2; }
state=${SP_STATE:-$HOME/solarperform}
mkdir -p "$state/releases"
state=$(cd "$state" && pwd)
touch "$state/.env"
current=$(cat "$state/current" 2>/dev/null || true)

exec 9>"$state/lock"
flock --nonblock 9 || { echo "deploy: another deployment is under way in $state" >&2; exit 2; }

told() { # as .env says, which is Compose's: no shell would read every line of it the same way
    sed -n -e "s/[[:space:]]#.*//" -e "s/^$1=//p" "$state/.env" | tail -n 1 | tr -d "\"' \r"
}

lasting() { # name, default: into .env, where whoever works here by hand finds it as well
    local folder=${!1:-$(told "$1")}
    folder=${folder:-$2}
    [[ $folder == /* ]] || { echo "deploy: $1=$folder has to be an absolute path: releases' folders come and go" >&2; exit 2; }
    [ "$folder" != "$2" ] || mkdir -p "$folder"
    export "$1=$folder"
    [ -n "$(told "$1")" ] || printf '%s=%s\n' "$1" "$folder" >>"$state/.env"
}

remember() { # what this release and the next ones have in common
    [ -n "${SP_HOST:-$(told SP_HOST)}" ] ||
        { echo "deploy: $state/.env names no SP_HOST: bring the installation's own there, or this would start another one" >&2; exit 2; }
    [ -z "$(tail -c 1 "$state/.env")" ] || echo >>"$state/.env"
    lasting SP_OWNER_DIR "$state/owner"
    lasting SP_BACKUP_DIR "$state/backups"
    [ -z "${SP_IMAGES:-}" ] || [ -n "$(told SP_IMAGES)" ] || printf 'SP_IMAGES=%s\n' "$SP_IMAGES" >>"$state/.env"
    export SP_IMAGES=${SP_IMAGES:-$(told SP_IMAGES)}
    project=${COMPOSE_PROJECT_NAME:-$(told COMPOSE_PROJECT_NAME)}
    project=${project:-solarperform}
}

compose() { # release, arguments
    local which=$1 folder=$state/releases/$1 file named files=()
    # The new files count once they are placed; or if there are no others: an attempt that ended in between.
    if [ -d "$folder.new" ] && { [ -n "${placing:-}" ] || [ ! -d "$folder" ]; }; then folder=$folder.new; fi
    shift
    IFS=: read -ra named <<<"${COMPOSE_FILE:-$(told COMPOSE_FILE)}"
    for file in "${named[@]:-docker-compose.yml}"; do
        [[ $file == /* ]] || file=$folder/$file
        files+=(--file "$file")
    done
    SP_RELEASE=$which docker compose --project-name "$project" --env-file "$state/.env" \
        --project-directory "$folder" "${files[@]}" "$@"
}

keep() { # what this checkout starts the release with, beside what its containers may have mounted
    local kept=$state/releases/$release
    rm -rf "$kept.new"
    mkdir -p "$kept.new"
    cp -R "$here/../../docker-compose.yml" "$kept.new/"
    cp -R "$here/.." "$kept.new/deploy"
    ln -s ../../.env "$kept.new/.env"
    if diff --recursive --no-dereference --brief "$kept" "$kept.new" >/dev/null 2>&1; then
        rm -rf "$kept.new"
    fi
}

place() { # once nothing is missing
    local kept=$state/releases/$release
    [ -e "$kept.new" ] || return 0 # nothing is new: its containers go on with the folder that they have mounted
    [ ! -e "$kept" ] || touch "$kept.replaced" # they would go on with one that is gone
    rm -rf "$kept"
    mv "$kept.new" "$kept"
}

fetch() {
    local image
    [ -z "${REGISTRY_USER:-}" ] || "$here/registry-login.sh"
    compose "$release" pull --quiet --ignore-buildable ||
        echo "deploy: no newer images of others were fetched; going on with images of this machine" >&2
    for image in $(compose "$release" config --images | sort -u); do
        docker image inspect "$image" >/dev/null 2>&1 && continue
        [[ $image != solarperform/* ]] ||
            { echo "deploy: $image is not on this machine, and SP_IMAGES names no registry that has it" >&2; exit 2; }
        docker pull --quiet "$image"
    done
}

start() { # release
    local replaced=$state/releases/$1.replaced anew=()
    [ ! -e "$replaced" ] || anew=(--force-recreate)
    compose "$1" up --detach --no-build --remove-orphans "${anew[@]}" --wait --wait-timeout "${WAIT_S:-180}" || return
    rm -f "$replaced"
}

well() { # within a minute: what is healthy may still be warming up
    local name until=$((SECONDS + 60))
    for name in SP_HOST SP_HTTPS_PORT SP_MQTT_PORT SP_SFTP_PORT; do
        export "$name=${!name:-$(told "$name")}"
    done
    until "${SMOKE:-$here/smoke.sh}"; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 5
    done
}

remember
keep
placing=yes fetch
place
if start "$release" && well; then
    printf '%s\n' "$release" >"$state/current.new"
    mv "$state/current.new" "$state/current"
    ln -sfn "releases/$release" "$state/release"
    echo "deploy: $release runs"
    exit 0
fi

echo "deploy: $release is not well; its last words:" >&2
compose "$release" ps --all >&2 || true
compose "$release" logs --tail 40 >&2 || true
if [ -z "$current" ]; then
    echo "deploy: there is no release before it to go back to" >&2
    exit 2
fi
echo "deploy: back to $current" >&2
if start "$current" && well; then
    echo "deploy: $current runs again" >&2
    exit 1
fi
echo "deploy: $current does not come back either: see docker compose --project-name $project ps" >&2
exit 2
