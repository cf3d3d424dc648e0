#!/bin/sh
# Installs tessera-engine from this kit, without a network: sh install.sh
# PYTHON names the Python to use, VENV_DIR the folder of the virtual environment.
kit=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd) || exit 1
for version in $(cd "$kit/wheels" && ls | sed -n "s/^.*-py\(3\.[0-9]*\)\.txt$/\1/p" | sort -u); do
    if [ -z "$PYTHON" ] && command -v "python$version" > /dev/null; then PYTHON=python$version; fi
done
PYTHON=${PYTHON:-python3}
if ! command -v "$PYTHON" > /dev/null; then
    echo "error: there is no $PYTHON; install Python, or set PYTHON to the one to use" >&2
    exit 1
fi
# -I: modules come from Python alone, not from files beside the script
exec "$PYTHON" -I "$kit/install.py"
