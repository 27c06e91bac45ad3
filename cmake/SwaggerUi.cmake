# Swagger UI, which shows /openapi.json at /docs: two files out of a wheel that carries them for
# Python programs. LONGSPAN_SWAGGER_UI: their folder.
set(_version 2026.10.1)
longspan_fetch_wheel(_wheel drf-spectacular-sidecar ${_version}
  fe1d005d8ac9b5d0472f2fe5deeb2e7d6dcffaa24118044f22578b4b8c4b31f2)
set(_folder "${LONGSPAN_CACHE}/swagger-ui-${_version}")
longspan_unpack("${_wheel}" "${_folder}" "*/swagger-ui-dist/swagger-ui.css" "*/swagger-ui-dist/swagger-ui-bundle.js"
  "*/swagger-ui-dist/LICENSE")
set(LONGSPAN_SWAGGER_UI "${_folder}/drf_spectacular_sidecar/static/drf_spectacular_sidecar/swagger-ui-dist")
install(FILES "${LONGSPAN_SWAGGER_UI}/LICENSE" DESTINATION licenses/swagger-ui)
