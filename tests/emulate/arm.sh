#!/usr/bin/env bash
# Runs the network's tests on an emulated 64-bit Arm CPU: the kernels compiled for its dot product equal their twins.
#
#   tests/emulate/arm.sh [FOLDER]      FOLDER (default build/arm) keeps Arm's Python, packages and compiled kernels
#
# For Debian on another CPU. Needs root, or sudo, for the emulator alone: apt-get install qemu-user-static, and
# dpkg --add-architecture arm64 && apt-get update. About ten minutes; most of it is numba, compiling while emulated.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$here/build/arm}
mkdir -p "$folder" && folder=$(cd "$folder" && pwd)
pip=${PIP:-$here/.venv/bin/python -m pip --disable-pip-version-check}

if [ ! -e "$folder/root/usr/bin/python3.11" ]; then
    mkdir -p "$folder/packages" && cd "$folder/packages"
    apt-get download $(printf '%s:arm64 ' python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 \
        libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libssl3 libbz2-1.0 liblzma5 libsqlite3-0 libuuid1)
    for package in *.deb; do dpkg -x "$package" "$folder/root"; done
fi
if [ ! -d "$folder/site" ]; then
    $pip install --quiet --target "$folder/site" --python-version 3.11 --implementation cp --abi cp311 \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_17_aarch64 \
        --platform manylinux2014_aarch64 --only-binary=:all: --constraint "$here/constraints.txt" numpy numba pytest hypothesis
fi
# LLVM asks this file for the CPU; the emulator would show it the real one's
mkdir -p "$folder/root/proc"
printf 'processor\t: 0\nFeatures\t: fp asimd crc32 atomics asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n' \
    > "$folder/root/proc/cpuinfo"

cd "$here"
emulated() {
    PYTHONPATH=$folder/site:$here/kernels:$here/tests/helpers NUMBA_CACHE_DIR=$folder/kernels \
        qemu-aarch64-static -cpu max -L "$folder/root" "$folder/root/usr/bin/python3.11" "$@"
}
emulated -c "
from tessera_kernels.encoder.isa import available
print('instruction sets found:', *available())
assert available()[0] == 'arm-dotprod'"
# addopts of its own: the project's reach for packages that aren't there
emulated -m pytest -q -p no:cacheprovider -o addopts="--import-mode=importlib --strict-markers" \
    tests/kernels/test_encoder.py tests/kernels/test_recurrent.py \
    -k "exact_integers or (naive_twin and arm-dotprod and not like)"
