#!/bin/sh
# Makes the lock files anew from pyproject.toml: deploy/ci/lock.sh [--upgrade]
# Without --upgrade a version stays as it is where pyproject.toml still allows it.
set -eu
cd "$(dirname "$0")/../.."

uv=$(command -v uv || true)
[ -n "$uv" ] || uv=$(deploy/ci/tools.sh)/uv

lock() { # file, arguments
    file=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header "$@" --output-file "deploy/$file"
}

lock requirements-agent.lock "$@" pyproject.toml
lock requirements-slim.lock "$@" --extra slim pyproject.toml
lock requirements-platform.lock "$@" --extra server pyproject.toml
lock requirements-otel.lock "$@" --extra server --extra otel pyproject.toml
lock requirements.lock "$@" --extra server --extra local pyproject.toml
lock requirements-dev.lock "$@" --extra server --extra local --extra otel --extra dev pyproject.toml
lock requirements-build.lock "$@" --group build
lock requirements-ci.lock "$@" --group ci
