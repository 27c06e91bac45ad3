# Builds the crate in the folder FFI and puts its archive at ARCHIVE.
#   cmake -DCARGO=.. -DFFI=.. -DCACHE=.. -DARCHIVE=.. [-DMAP_PATHS=ON] -P BuildTokenizers.cmake
#
# Archives are kept in CACHE under the hash of their sources, so that several checkouts can share
# it.
#
# cargo tells two copies of one crate apart by their times only. Our own crate is therefore built
# anew each time (some seconds; its dependencies stay), behind a lock.
file(GLOB_RECURSE sources RELATIVE "${FFI}" "${FFI}/src/*.rs" "${FFI}/Cargo.toml" "${FFI}/Cargo.lock")
list(SORT sources)
execute_process(COMMAND "${CARGO}" --version OUTPUT_VARIABLE state)
foreach(source IN LISTS sources)
  file(SHA256 "${FFI}/${source}" hash)
  string(APPEND state "${source} ${hash}\n")
endforeach()
# What panics name of cargo's folder, which is a user's (LONGSPAN_MAP_PATHS, Options.cmake).
if(MAP_PATHS)
  set(cargo_home "$ENV{CARGO_HOME}")
  if(NOT cargo_home)
    set(cargo_home "$ENV{HOME}/.cargo")
  endif()
  set(ENV{RUSTFLAGS} "$ENV{RUSTFLAGS} --remap-path-prefix=${cargo_home}=cargo --remap-path-prefix=${FFI}=tokenizers")
  string(APPEND state "paths are mapped\n")
endif()
string(SHA256 key "${state}")
string(SUBSTRING "${key}" 0 16 key)
set(kept "${CACHE}/tokenizers/${key}.a")

if(NOT EXISTS "${kept}")
  file(MAKE_DIRECTORY "${CACHE}/tokenizers")
  file(LOCK "${CACHE}/tokenizers/lock" GUARD PROCESS TIMEOUT 1800)
endif()
if(NOT EXISTS "${kept}")
  set(ENV{CARGO_TARGET_DIR} "${CACHE}/cargo")
  execute_process(COMMAND "${CARGO}" clean --release --quiet --manifest-path "${FFI}/Cargo.toml" -p longspan_tokenizers)
  execute_process(COMMAND "${CARGO}" build --release --locked --manifest-path "${FFI}/Cargo.toml" RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "cargo could not build ${FFI}: the crate registry must be reachable the first time, and cargo be 1.85 or newer (Debian 12: cargo-web, rustc-web).")
  endif()
  file(COPY_FILE "${CACHE}/cargo/release/liblongspan_tokenizers.a" "${kept}.part")
  file(RENAME "${kept}.part" "${kept}")
endif()
file(COPY_FILE "${kept}" "${ARCHIVE}")
