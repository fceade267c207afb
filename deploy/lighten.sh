#!/bin/sh
# Takes out of the packages what no service reads: their own tests, Ray's Java workers and dashboard pages, and symbols that only
# a debugger wants. Run while an image is built.
set -eu
cd /opt/solarperform/lib/python3*/site-packages
find . -mindepth 2 -type d -name tests -prune -exec rm -rf {} +
rm -rf ray/jars ray/dashboard/client
find . -name '*.so*' -type f -exec strip --strip-unneeded {} +
