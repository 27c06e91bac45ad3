#!/bin/bash
# The rule of the rooms: which folder may include which. Prints each include that breaks it, and
# fails.
#   layering_test.sh SOURCE_DIR
# A room is a folder of core/ or server/ with all below it, the files that lie in core/ or server/
# itself, client/, or the contract in proto/. README.md shows the table below, and readme_test.py
# compares the two.
set -u
cd "$1" || exit 2
broken=0

# ROOM: what it may include beside its own files, as rooms or as single headers. The headers named
# alone are plain values (model_info.h, token_batch.h, ...) that lower rooms share with the API
# above.
rooms=$(cat <<'TABLE'
core/cuda: core/backend core/kernels
core/backend: core/kernels core/device_memory.h
core/kernels:
core/runtime:
core/weights:
core/checkpoint: core/weights core/model_info.h
core/tokenizer: core/checkpoint core/error_details.h core/token_batch.h
core/search: core/kernels core/token_place.h
core/layers: core/backend core/kernels core/model_info.h
core/attention: core/backend core/kernels core/layers core/runtime
core/models: core/backend core/kernels core/layers core/attention core/weights core/checkpoint core/runtime core/model_info.h core/recording_counts.h core/token_batch.h
core: core/backend core/kernels/key_mask.h core/models core/layers core/weights core/checkpoint core/tokenizer core/runtime
core/tools: core core/backend/open_backend.h core/models core/layers core/attention core/runtime core/weights core/checkpoint core/tokenizer
server/text: core core/tokenizer
server/batching: core server/text proto/longspan/v1/length_classes.h
server/engine: core server/text server/batching
server/collections: core core/search
server/search: core core/search core/tokenizer server/text server/batching server/engine server/collections
server/wire: core core/search core/runtime server/text server/batching server/collections server/search server/server_options.h proto
server/telemetry: core core/runtime server/batching server/wire proto/longspan/v1/length_classes.h
server/rpc: core core/tokenizer server/text server/batching server/engine server/collections server/search server/wire server/telemetry server/net server/lifecycle.h server/server_options.h proto
server/tei: core core/tokenizer server/text server/batching server/search server/rpc server/wire server/server_options.h proto
server/rest: core core/tokenizer server/text server/batching server/collections server/search server/rpc server/tei server/wire server/http server/server_options.h proto
server/http: server/net server/lifecycle.h
server/page: server/http
server/net: core proto/longspan/v1/address.h
server/settings: core proto/longspan/v1/edit_distance.h
server/start: core core/backend/open_backend.h core/tokenizer core/checkpoint core/runtime server/batching server/engine server/telemetry server/settings server/server_options.h
server: core core/backend/open_backend.h core/runtime server/start server/text server/batching server/collections server/engine server/telemetry server/rpc server/tei server/rest server/http server/page server/net server/settings proto/longspan/v1/address.h
client: proto
TABLE
)

# Each include of ours as "FILE:LINE:#include "PATH", judged by the table. Generated headers of the
# contracts (longspan/v1/encoder.pb.h) belong to the room proto.
breaches=$(grep -rnoE --include='*.h' --include='*.cc' --include='*.cu' --include='*.cuh' '#include *["<](core|server|client|tests|proto|longspan|tei)/[^">]+' core server client |
  awk -v rooms="$rooms" '
    function room_of(path,   part, n) {
      n = split(path, part, "/")
      if (part[1] == "longspan" || part[1] == "tei") return "proto"
      return (part[1] == "core" || part[1] == "server") && n > 2 ? part[1] "/" part[2] : part[1]
    }
    BEGIN {
      for (i = split(rooms, line, "\n"); i > 0; --i) {
        n = split(line[i], word, /:? +|:$/)
        known[word[1]] = 1
        for (j = 2; j <= n; ++j) allowed[word[1], word[j]] = 1
      }
    }
    {
      file = $0; sub(/:.*/, "", file)
      path = $0; sub(/.*["<]/, "", path)
      from = room_of(file); to = room_of(path)
      if (!known[from]) print from " has no row in the table of rooms (tests/layering_test.sh): " $0
      else if (from != to && !allowed[from, to] && !allowed[from, path]) print from " must not include " to ": " $0
    }')
[ -z "$breaches" ] || { printf '%s\n' "$breaches"; broken=1; }

forbid() {  # forbid WHY PATTERN PATH...: libraries that a room must not know
  local why=$1 pattern=$2 hits; shift 2
  hits=$(grep -rnE --include='*.h' --include='*.cc' --include='*.cu' --include='*.cuh' "$pattern" "$@" 2>/dev/null) || return 0
  printf '%s\n%s\n' "$why:" "$hits"; broken=1
}
torch='#include *[<"](torch|ATen|c10)/'
rpc='#include *[<"](grpc|grpcpp|google/protobuf|google/rpc|prometheus|longspan/v1|tei/v1)'
forbid "core must not know gRPC, protobuf or Prometheus" "$rpc" core
forbid "core/kernels must not know torch or absl" '#include *[<"](torch|ATen|c10|absl)/' core/kernels
forbid "core/cuda/kernels must not know torch or absl" '#include *[<"](torch|ATen|c10|absl)/' core/cuda/kernels
forbid "public headers of core must be free of torch" "$torch" core/encoder.h core/token_batch.h core/model_info.h core/device_memory.h core/recording_counts.h core/backend/open_backend.h core/cost_model.h core/pooling.h core/tokenizer core/checkpoint/model_folder.h
forbid "server must not include torch" "$torch" server
forbid "the engine (server/text, server/batching, server/engine, server/collections, server/search) must not know gRPC, protobuf or Prometheus" "$rpc" server/text server/batching server/engine server/collections server/search
forbid "server/http must not know gRPC, protobuf or Prometheus" "$rpc" server/http
forbid "Boost is known to event_loop.cc, request_reader.cc and transport.cc of server/http alone" '#include *<boost/' $(find core server client -name '*.h' -o -name '*.cc' | grep -vE '^server/http/(event_loop|request_reader|transport)\.cc$')
forbid "ICU is known to the files of server/text that find sentences and words alone" '#include *<unicode/' $(find core server client -name '*.h' -o -name '*.cc' | grep -vE '^server/text/(abbreviations|sentences|sentence_block|words)\.cc$|^server/text/utf8\.h$')
forbid "client must not include torch" "$torch" client
forbid "tests/reference must stand alone" '#include *"(core|server|client)/' tests/reference
# The wall clock may be set at any time, so nothing waits for a moment of it and no time is measured
# with it. These files tell the date (log, metrics, certificates, answers), or hand gRPC a moment
# that it reads at once. steady_waits.cc is what makes absl's waits steady.
while IFS= read -r file; do
  case $file in
    server/batching/clock.cc|server/telemetry/log.cc|server/telemetry/process_metrics.cc|server/http/http_message.cc) ;;
    server/rpc/file_reloader.cc|server/rpc/tls_files.h|server/rpc/rpc_call.cc|server/rpc/grpc_dial.cc|server/server.cc|client/client.cc) ;;
    core/runtime/steady_waits.cc) ;;
    *) echo "the wall clock, outside the files that may read it: $file"; broken=1 ;;
  esac
done < <(grep -rlE 'absl::Now\b|system_clock|gettimeofday|CLOCK_REALTIME|\btime\((nullptr|NULL|0)\)' --include='*.cc' --include='*.h' core server client)
forbid "a wait for a moment of the wall clock" 'WithDeadline\(|WaitForNotificationWithDeadline|wait_until\(|pthread_cond_timedwait|sem_timedwait' core server client
while IFS= read -r file; do
  case $file in server/server_options.cc|server/main.cc|client/main.cc|core/tools/main.cc) ;; *) echo "getenv outside server_options.cc and the mains: $file"; broken=1 ;; esac
done < <(grep -rlE '\bgetenv\(' --include='*.cc' --include='*.h' core server client 2>/dev/null)
[ $broken = 0 ] && echo "layering: no breach"
exit $broken
