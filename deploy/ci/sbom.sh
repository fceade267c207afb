#!/bin/sh
# Bills of materials (CycloneDX, JSON) of each image's Python environment and of the front end, validated against the schema:
#   deploy/ci/sbom.sh [FOLDER]              default: dist/sbom
# SP_IMAGES and SP_RELEASE name the images, as in build-images.sh.
set -eu
cd "$(dirname "$0")/../.."

folder=${1:-dist/sbom}
names=${SP_IMAGES:-solarperform}
release=${SP_RELEASE:-$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)}
tools=$(deploy/ci/tools.sh)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$folder"

for target in platform slim; do
    packages=$scratch/$target
    mkdir "$packages"
    deploy/ci/image-packages.sh "$names/$target:$release" "$packages"
    # An interpreter that sees the image's packages and none of this machine's.
    printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s" -S "$@"\n' "$packages" "$tools/python" >"$scratch/python-$target"
    chmod +x "$scratch/python-$target"
    "$tools/cyclonedx-py" environment --validate --spec-version 1.6 --output-format JSON \
        --output-file "$folder/$target.cdx.json" "$scratch/python-$target"
done

# npm makes its own; without what only builds the bundle.
npm sbom --prefix web/assets --package-lock-only --omit dev --sbom-format cyclonedx >"$folder/front-end.cdx.json"

"$tools/python" - "$folder"/*.cdx.json <<'CHECK'
import json, pathlib, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
for name in sys.argv[1:]:
    text = pathlib.Path(name).read_text()
    bill = json.loads(text)
    wrong = JsonStrictValidator(SchemaVersion.from_version(bill["specVersion"])).validate_str(text)
    if wrong or not bill.get("components"):
        sys.exit(f"sbom: {name} is no bill of materials: {wrong or 'it lists nothing'}")
    print(f"{name}: {len(bill['components'])} components, valid CycloneDX {bill['specVersion']}")
CHECK
