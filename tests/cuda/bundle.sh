#!/bin/bash
# Makes the folder that proves longspan on a machine with a card (run.sh in it does), out of a build
# folder: programs, the CUDA plugin, the Debian libraries that they need, fixtures and scripts.
# LibTorch and the C library are those of that machine.
#   bundle.sh BUILD_DIR BUNDLE_DIR [--without-plugin] [--limit MIB]
# The same build gives the same bytes. --without-plugin is for the dry run on a CPU.
set -euo pipefail
build=$1 bundle=$2; shift 2
# What may be brought to such a machine is 64 MiB, of which the working tree takes 8.
limit=54 plugin=$build/liblongspan_cuda.so   # beside the server, as programs look for it
while [ $# -gt 0 ]; do
  case $1 in
    --without-plugin) plugin=""; shift ;;
    --limit) limit=$2; shift 2 ;;
    *) echo "bundle: unknown argument $1; allowed: --without-plugin, --limit MIB" >&2; exit 2 ;;
  esac
done
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
die() { printf 'bundle: %s\n' "$*" >&2; exit 1; }
[ -z "$plugin" ] || [ -f "$plugin" ] || die "this build has no plugin ($plugin): build the target longspan_cuda, or pass --without-plugin for a dry run"
kernels=$build/tests/cuda_kernels_check
[ -z "$plugin" ] || [ -x "$kernels" ] || die "this build has no $kernels: build the target cuda_kernels_check"
for program in "$build/longspan-server" "$build/longspan" "$build/tests/backend_check"; do
  [ -x "$program" ] || die "this build has no $program: build it first"
done

payload=$(mktemp -d)
trap 'rm -rf "$payload"' EXIT
mkdir -p "$payload/bin" "$payload/lib" "$payload/lib-cxx" "$payload/fixtures"

# keep FILE: a stripped copy among the programs
keep() { strip --strip-unneeded -o "$payload/bin/$(basename "$1")" "$1"; }
keep "$build/longspan-server"
keep "$build/longspan"
keep "$build/tests/backend_check"
[ ! -x "$kernels" ] || keep "$kernels"
[ -z "$plugin" ] || keep "$plugin"
printf '#!/bin/sh\n' >"$payload/starts"   # tells whether programs may be run where it lies
chmod +x "$payload/starts"

# libraries_of FILE...: "NAME PATH" of all that they load, the loader and the C library left out
libraries_of() {
  local file
  for file in "$@"; do ldd "$file"; done | awk '$2 == "=>" { print $1, ($3 == "not" ? "missing" : $3) }' | sort -u |
    grep -vE '^(libc|libm|libpthread|libdl|librt|libutil|libresolv|ld-linux[^ ]*)\.so'
}
programs=("$build/longspan-server" "$build/longspan" "$build/tests/backend_check")
[ -z "$plugin" ] || programs+=("$plugin" "$kernels")
while read -r name path; do
  case $name in
    # Of the machine's LibTorch, with the libraries beside it that it finds itself.
    libtorch*.so* | libc10*.so* | libgomp*.so* | libcud*.so* | libcup*.so* | libcub*.so* | libnccl*.so*) ;;
    # Taken only where the machine's own are older.
    libstdc++.so* | libgcc_s.so*) cp -L "$path" "$payload/lib-cxx/$name" ;;
    *)
      [ "$path" != missing ] || die "$name is not found here"
      cp -L "$path" "$payload/lib/$name" ;;
  esac
done < <(libraries_of "${programs[@]}")

for fixture in "$here"/../fixtures/*/expected.safetensors; do
  cp -r "$(dirname "$fixture")" "$payload/fixtures/"
done
{ git -C "$here" rev-parse HEAD 2>/dev/null && { [ -z "$(git -C "$here" status --porcelain 2>/dev/null)" ] || echo "with changes"; } || echo unknown; } |
  paste -sd ' ' >"$payload/commit.txt"

rm -rf "$bundle.part"
mkdir -p "$bundle.part"
cp "$here/run.sh" "$here/peers.py" "$here/serve.py" "$here/report.py" "$bundle.part/"
chmod 755 "$bundle.part/run.sh"
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u+rwX,go+rX -C "$payload" -c . | gzip -6n >"$bundle.part/payload.tar.gz"

bytes=$(du -sb "$bundle.part" | cut -f1)
if [ "$bytes" -gt $((limit * 1048576)) ]; then
  echo "bundle: $((bytes / 1048576)) MiB, at most $limit are allowed; the largest before compression:" >&2
  (cd "$payload" && find . -type f -printf '%s %P\n' | sort -rn | sed -n 1,15p) >&2
  rm -rf "$bundle.part"
  exit 1
fi
rm -rf "$bundle"
mv "$bundle.part" "$bundle"
echo "bundle: $bundle, $(((bytes + 1048575) / 1048576)) MiB${plugin:+, with the plugin}"
