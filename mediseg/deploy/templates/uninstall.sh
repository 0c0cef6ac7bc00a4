#!/bin/sh
# Takes away the installation that this file lies in, and nothing else: results and own files stay.
set -eu
prefix=$(cd "$(dirname "$0")" && pwd)
[ -f "$prefix/.mediseg-installation" ] || { echo "uninstall.sh: $prefix is no installation of mediseg" >&2; exit 1; }
for part in env models pipelines licences bin; do rm -rf "${prefix:?}/$part"; done
rm -f "$prefix/sbom.cdx.json" "$prefix/bundle.json" "$prefix/doctor.html" "$prefix/.mediseg-installation" "$prefix/uninstall.sh"
cd / && { rmdir "$prefix" 2>/dev/null || echo "other files stay in $prefix"; }
