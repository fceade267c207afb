#!/bin/sh
# What a release has besides its images: deploy/ci/release-files.sh FOLDER
# The files to install from, the bills of materials that sbom.sh left in FOLDER, and the checksums of all.
set -eu
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."

release=${SP_RELEASE:-$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)}
git archive --format tar.gz --prefix "solarperform-$release/" --output "$folder/solarperform-$release.tar.gz" \
    HEAD docker-compose.yml deploy
cd "$folder"
rm -f SHA256SUMS
sha256sum -- * >SHA256SUMS
cat SHA256SUMS
