#!/usr/bin/env bash
# What the project needs from outside: system packages and Kokkos.
#   scripts/deps.sh [openmp|serial|cuda ...]   packages (as root or through sudo; else lists them) and Kokkos for each backend;
#                                              for cuda the headers of CUTLASS too
#   scripts/deps.sh --python                   the virtual environment .venv with yardstick and its pinned packages
#   scripts/deps.sh --slurm                    Slurm and munge for tests/slurm, which are skipped without them
#   scripts/deps.sh --network                  iproute2 for scripts/virtual-nodes.sh, whose tests are skipped without it
#   scripts/deps.sh --bundle                   .bundle/switchyard-deps.tar.gz: for building on a machine without a network that has
#                                              the same distribution and release as this one; without SentencePiece
# SWITCHYARD_OFFLINE=1 leaves out system packages and the Python environment: nothing is fetched where the bundle is unpacked.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages=(g++ cmake ninja-build pkg-config git openmpi-bin libopenmpi-dev libhdf5-dev libyaml-cpp-dev libcli11-dev
  libfmt-dev libspdlog-dev nlohmann-json3-dev libsentencepiece-dev libssl-dev libgtest-dev python3-venv python3-pip)
kokkos_archive=pygenten-0.1.5.tar.gz
kokkos_sha256=e620f05c742905e2db705d875f1cac92ef0ed453f9e6734e9beda26cc0f9cce7

# install_packages NAME...
install_packages() {
  step "system packages"
  local missing=() p
  for p in "$@"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
  done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null ||
    fail "these are missing: ${missing[*]}" "install their counterparts of your system, or load modules that bring them"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null; } ||
      fail "these packages are missing and you are neither root nor have sudo" \
        "ask the administrator for: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  echo "installing ${missing[*]}"
  quiet build/log/apt-update.log "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update
  quiet build/log/apt-install.log "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}"
}

# Kokkos 4.7.00 is taken from the copy that a Python source distribution carries: it is reachable wherever pip works.
kokkos_source() {
  [ -f third_party/kokkos/CMakeLists.txt ] && return
  step "Kokkos source"
  local work
  work=$(mktemp -d)
  quiet build/log/kokkos-venv.log python3 -m venv "$work/venv"
  quiet build/log/kokkos-pip.log "$work/venv/bin/pip" install scikit-build-core
  quiet build/log/kokkos-download.log "$work/venv/bin/pip" download --no-deps --no-build-isolation --no-binary :all: \
    -d "$work" pygenten==0.1.5
  echo "$kokkos_sha256  $work/$kokkos_archive" | sha256sum --check --quiet || fail "$kokkos_archive has another sha256"
  tar -xzf "$work/$kokkos_archive" -C "$work" "${kokkos_archive%.tar.gz}/tpls/kokkos"
  mkdir -p third_party
  mv "$work/${kokkos_archive%.tar.gz}/tpls/kokkos" third_party/kokkos
  rm -rf "$work"
}

# build_kokkos BACKEND: into third_party/install/BACKEND. The mdspan-based View gives wrong code with nvcc 13 and C++20
# (parallel_reduce and parallel_scan), so the older View is used, on every backend alike. For any processor: what is fast is compiled
# with the program (SWITCHYARD_ARCH).
build_kokkos() {
  local backend=$1 prefix=$root/third_party/install/$1
  local options=(-DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_STANDARD=20 -DCMAKE_INSTALL_PREFIX="$prefix" -DKokkos_ENABLE_SERIAL=ON
    -DKokkos_ENABLE_IMPL_MDSPAN=OFF -DKokkos_ENABLE_IMPL_VIEW_LEGACY=ON -DKokkos_ENABLE_DEPRECATED_CODE_4=OFF)
  case $backend in
    openmp) options+=(-DKokkos_ENABLE_OPENMP=ON) ;;
    serial) ;;
    cuda)
      options+=(-DKokkos_ENABLE_CUDA=ON -DKokkos_ENABLE_COMPILE_AS_CMAKE_LANGUAGE=ON -DKokkos_ARCH_HOPPER90=ON
        -DCMAKE_CUDA_ARCHITECTURES=90 -DKokkos_ENABLE_CUDA_LAMBDA=ON
        "-DCMAKE_CUDA_FLAGS=-std=c++20 -include $root/cmake/kokkos_cuda13.hpp") ;;
    *) fail "unknown backend '$backend'" "one of: openmp serial cuda" ;;
  esac
  [ "$(cat "$prefix/.complete" 2>/dev/null)" = "${options[*]}" ] && return
  step "Kokkos for $backend"
  rm -rf "$prefix" "build/kokkos-$backend"
  quiet "build/log/kokkos-$backend-configure.log" cmake -S third_party/kokkos -B "build/kokkos-$backend" -G Ninja "${options[@]}"
  quiet "build/log/kokkos-$backend-build.log" cmake --build "build/kokkos-$backend" -j "$jobs" --target install
  echo "${options[*]}" >"$prefix/.complete"
}

python_environment() {
  step "Python environment"
  if [ -n "${SWITCHYARD_OFFLINE:-}" ]; then
    echo "left out: SWITCHYARD_OFFLINE is set"
    return
  fi
  [ -x .venv/bin/python ] || quiet build/log/venv.log python3 -m venv .venv
  quiet build/log/pip.log .venv/bin/pip install -q --disable-pip-version-check -r analysis/requirements.txt
  quiet build/log/pip-yardstick.log .venv/bin/pip install -q --disable-pip-version-check --no-deps -e ./analysis
}

# cutlass_headers PREFIX: PREFIX/cutlass/include, from a Python wheel.
cutlass_headers() {
  local prefix=$1 work
  [ -f "$prefix/cutlass/include/cutlass/cutlass.h" ] && return
  step "CUTLASS headers"
  work=$(mktemp -d)
  quiet build/log/cutlass.log python3 -m pip download -q --no-deps -d "$work" nvidia-cutlass==4.2.0.0
  python3 - "$work" "$prefix/cutlass/include" <<'PY'
import pathlib, sys, zipfile
work, include = map(pathlib.Path, sys.argv[1:])
for wheel in work.glob("*.whl"):
    with zipfile.ZipFile(wheel) as z:
        for name in z.namelist():
            if "cutlass_library/source/include/" in name and not name.endswith("/"):
                out = include / name.split("source/include/")[1]
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_bytes(z.read(name))
PY
  rm -rf "$work"
}

# Kokkos, CUTLASS headers, and the headers and libraries that a bare machine with CUDA, Open MPI, HDF5 and yaml-cpp lacks,
# which cmake/Dependencies.cmake finds under third_party/system.
bundle() {
  kokkos_source
  step "bundle"
  local work=.bundle/tree p
  rm -rf .bundle
  mkdir -p "$work/debs" "$work/third_party"
  cp -r third_party/kokkos "$work/third_party/kokkos"
  # Shared libraries too: what CMake reads of fmt and spdlog names them, and their packages have other names in each release.
  local shared
  mapfile -t shared < <(apt-cache depends libfmt-dev libspdlog-dev libssl-dev | sed -nE 's/^ *Depends: (lib(fmt|spdlog|ssl)[0-9].*)/\1/p')
  [ ${#shared[@]} -eq 3 ] || fail "shared libraries of fmt, spdlog and OpenSSL: ${shared[*]}" "look at apt-cache depends libfmt-dev"
  (cd "$work/debs" && apt-get download libcli11-dev libfmt-dev libspdlog-dev libssl-dev nlohmann-json3-dev libgtest-dev "${shared[@]}" >/dev/null)
  for p in "$work"/debs/*.deb; do dpkg -x "$p" "$work/third_party/system"; done
  rm -rf "$work/debs" "$work/third_party/system/usr/share/doc"
  cutlass_headers "$work/third_party"
  tar -czf .bundle/switchyard-deps.tar.gz -C "$work" third_party
  rm -rf "$work"
  local bytes
  bytes=$(stat -c %s .bundle/switchyard-deps.tar.gz)
  [ "$bytes" -le 50000000 ] || fail "the bundle has $bytes bytes, more than 50 MB"
  echo ".bundle/switchyard-deps.tar.gz: $bytes bytes; unpack it in the root of a checkout, then scripts/deps.sh cuda"
}

[ $# -gt 0 ] || set -- openmp
for what in "$@"; do
  case $what in
    --bundle) bundle ;;
    --python) python_environment ;;
    --slurm) install_packages slurm-wlm munge procps ;;
    --network) install_packages iproute2 util-linux ;;
    -*) fail "unknown option '$what'" "see the head of scripts/deps.sh" ;;
    *)
      [ -n "${SWITCHYARD_OFFLINE:-}" ] || install_packages "${packages[@]}"
      if [ -z "${Kokkos_ROOT:-}" ]; then
        kokkos_source
        build_kokkos "$what"
      fi
      if [ "$what" = cuda ] && [ -z "${CUTLASS_ROOT:-}" ]; then
        if [ -n "${SWITCHYARD_OFFLINE:-}" ]; then
          [ -d third_party/cutlass ] || echo "CUTLASS is not fetched: SWITCHYARD_OFFLINE is set"
        else
          cutlass_headers third_party
        fi
      fi ;;
  esac
done
