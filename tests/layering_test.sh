#!/bin/bash
# The rule "one way only" of the house: proto <- server -> core, client -> proto, kernels <-
# attention, layers <- models.
# Prints each include that breaks it and fails.   layering_test.sh SOURCE_DIR
set -u
cd "$1" || exit 2
broken=0
forbid() {  # forbid WHY PATTERN PATH...
  local why=$1 pattern=$2 hits; shift 2
  hits=$(grep -rnE --include='*.h' --include='*.cc' --include='*.cu' "$pattern" "$@" 2>/dev/null) || return 0
  printf '%s\n%s\n' "$why:" "$hits"; broken=1
}
torch='#include *[<"](torch|ATen|c10)/'
rpc='#include *[<"](grpc|grpcpp|google/protobuf|google/rpc|prometheus|longspan/v1)'
forbid "core must not know gRPC, protobuf or Prometheus" "$rpc" core
forbid "core must not include server or client" '#include *"(server|client)/' core
forbid "core/kernels must not know torch or absl" '#include *[<"](torch|ATen|c10|absl)/' core/kernels
forbid "core/kernels must not include other rooms of core" '#include *"core/(attention|layers|models|weights|tokenizer|[a-z_]+\.h)' core/kernels
forbid "core/attention and core/layers must not include models" '#include *"core/(models|encoder)' core/attention core/layers
forbid "public headers of core must be free of torch" "$torch" core/encoder.h core/token_batch.h core/model_info.h core/cost_model.h core/pooling.h core/tokenizer core/checkpoint/model_folder.h
forbid "server must not include torch" "$torch" server
forbid "server must use core through its public headers" '#include *"core/(kernels|attention|layers|weights|models/(model\.h|[a-z]+/))' server
forbid "server/batching must not know gRPC" "$rpc" server/batching
forbid "client must use proto only" '#include *"(core|server)/' client
forbid "client must not include torch" "$torch" client
forbid "tests/reference must stand alone" '#include *"(core|server|client)/' tests/reference
while IFS= read -r file; do
  case $file in server/server_options.cc|server/main.cc|client/main.cc|core/tools/main.cc) ;; *) echo "getenv outside server_options.cc and the mains: $file"; broken=1 ;; esac
done < <(grep -rlE '\bgetenv\(' --include='*.cc' --include='*.h' core server client 2>/dev/null)
[ $broken = 0 ] && echo "layering: no breach"
exit $broken
