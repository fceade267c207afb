#!/bin/sh
# Copies what an image's Python packages say of themselves (their .dist-info) into a folder:
#   deploy/ci/image-packages.sh IMAGE FOLDER
# Fails when the image has no Python environment of ours.
set -eu
docker run --rm --network none --entrypoint sh "$1" -c 'cd /opt/solarperform/lib/python3*/site-packages && tar -c ./*.dist-info' |
    tar -x -C "$2"
ls -d "$2"/*.dist-info >/dev/null
