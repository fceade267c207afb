#!/bin/sh
# Asks for known vulnerabilities of Python packages: deploy/ci/audit-python.sh NAME PIP-AUDIT-ARGUMENT…
# Prints one JSON line. Exit code: 0 none, 1 some, 3 nobody could be asked: that is a failure too, never a "none".
set -eu
cd "$(dirname "$0")/../.."

name=$1
shift
tools=$(deploy/ci/tools.sh)
report=$(mktemp)
said=$(mktemp)
trap 'rm -f "$report" "$said"' EXIT

# pip-audit skips what the service does not know, and calls that success.
"$tools/pip-audit" --progress-spinner off --format json --output "$report" "$@" 2>"$said" || true
"$tools/python" - "$name" "$report" "$said" <<'JUDGE'
import json, pathlib, sys
name, report, said = sys.argv[1], *map(pathlib.Path, sys.argv[2:])
try:
    packages = json.loads(report.read_text())["dependencies"]
except (ValueError, KeyError):
    print(f"audit: {name}: no vulnerability database reachable: {said.read_text().strip()[-300:]}", file=sys.stderr)
    sys.exit(3)
packages = [each for each in packages if each["name"] != "solarperform"]  # is on no registry
unknown = [each["name"] for each in packages if "skip_reason" in each]
vulnerable = [each for each in packages if each.get("vulns")]
fixable = [each for each in vulnerable if any(hole["fix_versions"] for hole in each["vulns"])]
figures = {"subject": name, "packages": len(packages), "audited": len(packages) - len(unknown), "vulnerable": len(vulnerable), "fixable": len(fixable)}
print(json.dumps(figures))
for each in vulnerable:
    for hole in each["vulns"]:
        print(f"audit: {name}: {each['name']} {each['version']}: {hole['id']}, fixed in {', '.join(hole['fix_versions']) or 'no version yet'}", file=sys.stderr)
if vulnerable:
    sys.exit(1)
if unknown or not packages:
    which = "of any package" if len(unknown) == len(packages) else "of " + ", ".join(unknown)
    print(f"audit: {name}: no vulnerability database reachable that knows {which}", file=sys.stderr)
    sys.exit(3)
JUDGE
