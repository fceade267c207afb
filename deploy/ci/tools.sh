#!/bin/sh
# Prints the folder of the tools that audit (pip-audit, cyclonedx-py, uv), in an environment of their own, made from
# deploy/requirements-ci.lock when it is not there.
set -eu
cd "$(dirname "$0")/../.."

lock=deploy/requirements-ci.lock
folder=${CI_TOOLS:-.venv/ci-tools}
if ! cmp -s "$lock" "$folder/installed.lock"; then
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    "${PYTHON:-python3}" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock" >&2
    cp "$lock" "$folder/installed.lock"
fi
cd "$folder/bin"
pwd
