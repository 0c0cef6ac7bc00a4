#!/bin/sh
# Installs mediseg from this folder: a private virtual environment, no administrator, no network.
#   sh install.sh [--no-doctor] [FOLDER]      default: ~/.local/share/mediseg
# PYTHON=/path/to/python@PYTHON@ chooses the interpreter. An installation that is there already is renewed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
doctor=yes
if [ "${1:-}" = "--no-doctor" ]; then doctor=no; shift; fi
prefix=${1:-"${XDG_DATA_HOME:-$HOME/.local/share}/mediseg"}
python=${PYTHON:-python@PYTHON@}
mark=.mediseg-installation

fail() { echo "install.sh: $1" >&2; exit 1; }

command -v "$python" >/dev/null 2>&1 || fail "there is no $python; install Python @PYTHON@, or name it: PYTHON=... sh install.sh"
"$python" -c 'import sys, platform
sys.exit("%d.%d" % sys.version_info[:2] != "@PYTHON@" or platform.machine() != "x86_64")' ||
  fail "$python is not Python @PYTHON@ for x86_64, for which this bundle was made"
[ -f "$here/SHA256SUMS" ] || fail "SHA256SUMS is missing: the bundle was not copied to its end; copy it again"
(cd "$here" && sha256sum --check --quiet --strict SHA256SUMS >&2) ||
  fail "files of the bundle are damaged or missing; copy the bundle again"

if [ -d "$prefix" ] && [ ! -f "$prefix/$mark" ] && [ -n "$(ls -A "$prefix")" ]; then
  fail "$prefix holds other files; name a new folder: sh install.sh FOLDER"
fi
mkdir -p "$prefix"
prefix=$(cd "$prefix" && pwd)
: >"$prefix/$mark"
for part in env models pipelines licences bin; do rm -rf "${prefix:?}/$part"; done

"$python" -m venv --without-pip "$prefix/env"
for pip in "$here"/wheels/pip-*.whl; do :; done
"$prefix/env/bin/python" -I "$pip/pip" install --isolated --quiet --no-index --find-links "$here/wheels" \
  --require-hashes --only-binary=:all: --no-cache-dir --disable-pip-version-check -r "$here/requirements.lock"

cp -R "$here/models" "$here/pipelines" "$here/licences" "$prefix/"
cp "$here/sbom.cdx.json" "$here/bundle.json" "$here/uninstall.sh" "$prefix/"
mkdir "$prefix/bin"
cat >"$prefix/bin/mediseg" <<'LAUNCHER'
#!/bin/sh
home=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
MEDISEG_HOME="$home" exec "$home/env/bin/python" -I -m mediseg "$@"
LAUNCHER
chmod 755 "$prefix/bin/mediseg"
echo "installed: $prefix/bin/mediseg"
if [ "$doctor" = yes ]; then
  "$prefix/bin/mediseg" doctor --html "$prefix/doctor.html" || fail "mediseg doctor is not content; see $prefix/doctor.html"
fi
