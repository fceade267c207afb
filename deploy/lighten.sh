#!/bin/sh
# Takes out of the packages what only a debugger or a package's own tests would read. Run while an image is built.
set -eu
cd /opt/solarperform/lib/python3*/site-packages
find . -mindepth 3 -type d -name tests -prune -exec rm -rf {} +
find . -name '*.so*' -type f -exec strip --strip-unneeded {} +
