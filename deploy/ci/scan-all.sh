#!/bin/sh
# image-scan.sh for the three images that SP_IMAGES and SP_RELEASE name, as in build-images.sh.
set -eu
cd "$(dirname "$0")/../.."
names=${SP_IMAGES:-solarperform}
release=${SP_RELEASE:-$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)}
exec deploy/ci/image-scan.sh "$names/platform:$release" "$names/slim:$release" "$names/gateway:$release"
