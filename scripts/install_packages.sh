#!/bin/sh
# Installs the Debian/Ubuntu packages that are missing.
#   sh scripts/install_packages.sh build        what ./camrun is built from
#   sh scripts/install_packages.sh check        and what `make check` needs
#   sh scripts/install_packages.sh browser      and a headless browser, in which `make check` then tests reports
#   sh scripts/install_packages.sh sanitizers   and clang, for the other builds of the C tests
#   sh scripts/install_packages.sh torchvision  and what converting checkpoints and comparing with torchvision need
#   sh scripts/install_packages.sh neon         and a cross compiler and emulator for the NEON kernels
set -eu

packages="gcc make libc6-dev libstb-dev"
case "${1:-}" in
build) ;;
check) packages="$packages libcmocka-dev python3 python3-pytest python3-numpy python3-pil" ;;
browser) packages="$packages chromium chromium-driver python3-selenium" ;;
sanitizers) packages="$packages libcmocka-dev clang" ;;
neon) packages="$packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user libcmocka-dev:arm64" ;;
torchvision) packages="$packages python3 python3-numpy python3-pil python3-torch python3-torchvision" ;;
*)
    echo "usage: sh scripts/install_packages.sh build|check|browser|sanitizers|torchvision|neon" >&2
    exit 2
    ;;
esac

missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=""
[ "$(id -u)" -eq 0 ] || as_root=sudo
echo "installing:$missing"
case "$missing" in *:arm64*) $as_root dpkg --add-architecture arm64 ;; esac
$as_root apt-get update -q
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
