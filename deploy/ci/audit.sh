#!/bin/sh
# Known vulnerabilities of everything that the lock files name, Python and front end: deploy/ci/audit.sh
# Exit code: 0 none, 1 some, 3 a database could not be asked. All are asked, also after a failure.
set -eu
cd "$(dirname "$0")/../.."

worst=0
worse() {
    # What was found comes before what could not be asked.
    if [ "$worst" = 0 ] || [ "$1" = 1 ]; then worst=$1; fi
}

for lock in deploy/requirements*.lock; do
    deploy/ci/audit-python.sh "$lock" --requirement "$lock" --require-hashes --disable-pip || worse $?
done

report=$(mktemp)
trap 'rm -f "$report"' EXIT
if npm audit --prefix web/assets --package-lock-only --json >"$report" 2>/dev/null; then
    echo '{"subject": "web/assets", "vulnerable": 0}'
elif grep -q '"auditReportVersion"' "$report"; then
    npm audit --prefix web/assets --package-lock-only >&2 || true
    worse 1
else
    printf 'audit: web/assets: no vulnerability database reachable: %s\n' "$(grep -m 1 '"message"' "$report" || echo 'npm said nothing')" >&2
    worse 3
fi
exit "$worst"
