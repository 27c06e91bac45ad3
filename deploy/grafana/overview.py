"""The dashboard overview: what the service does now, and where it hurts."""
from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard
from panels import JOB, RATE, SERVER, Graph, Query, Row, Stat, alert_threshold, board

BURNS_SLOWLY = alert_threshold("LongspanAvailabilityBurnsSlowly", 2)
BURNS_FAST = alert_threshold("LongspanAvailabilityBurnsFast")
QUEUE_SHARE = alert_threshold("LongspanQueueOld")


def quantile(share: float, histogram: str, by: str = "", selector: str = SERVER) -> str:
    return f"histogram_quantile({share}, sum by (le{by}) (rate({histogram}_bucket{{{selector}}}{RATE})))"


def mean(histogram: str) -> str:
    return f"sum(rate({histogram}_sum{{{SERVER}}}{RATE})) / sum(rate({histogram}_count{{{SERVER}}}{RATE}))"


GLANCE = Row("At a glance", [
    Stat("Alerts", "Alerts of rules.yml that fire now. The runbook in docs/operations.md has a section for each.", "short",
         [Query(f'count(ALERTS{{alertname=~"Longspan.*", alertstate="firing", {JOB}}}) or vector(0)', "alerts")], bad=1),
    Stat("Servers", "Servers that take work: alive, and not draining.", "short", [Query(f"sum(longspan:servers:count{{{JOB}}})", "servers")], bad=1, below=True),
    Stat("Calls", "Calls and items of streams that ended, in a second.", "reqps", [Query(f'sum(longspan:slo_calls:rate5m{{slo="availability", {JOB}}})', "calls")]),
    Stat("Tokens", "Tokens that the model read, in a second.", "short", [Query(f"sum(longspan:tokens:rate5m{{{JOB}}})", "tokens/s")]),
    Stat("Failed calls", "Share of the calls that the service failed: what callers cancel or do wrong does not count. Orange and red are the burns of "
         "LongspanAvailabilityBurnsSlowly and LongspanAvailabilityBurnsFast.", "percentunit", [Query(f"max(longspan:request_errors:ratio5m{{{JOB}}})", "failed")],
         warn=BURNS_SLOWLY / 1000, bad=BURNS_FAST / 1000, decimals=2),
    Stat("Short texts, 99 %", "Of the calls with texts of up to 512 tokens, 99 in 100 take at most so long. Red beyond the objective of 1 s.", "s",
         [Query(f"max(longspan:short_request_seconds:p99_5m{{{JOB}}})", "99 %")], bad=1),
    Stat("Wait", "How much of the wait that is allowed the fullest server has: 100 % is --max-queue-seconds or --default-deadline. Red: LongspanQueueLong.",
         "percentunit", [Query(f"max(longspan:queue_wait:seconds{{{SERVER}}} / longspan:queue_limit:seconds{{{SERVER}}})", "wait")], bad=QUEUE_SHARE),
    Stat("Model", "What is served: model, type, device.", "short", [Query(f"count by (model, dtype, device) (longspan_model_info{{{SERVER}}})",
                                                                          "{{model}} {{dtype}} {{device}}")], names=True, graph=False),
])

CALLS = Row("Calls", [
    Graph("Calls by method", "Calls that ended, by method; those of the HTTP port begin with http.", "reqps",
          [Query(f"sum by (method) (rate(longspan_requests_total{{{SERVER}}}{RATE})) > 0", "{{method}}")], stacked=True),
    Graph("Calls by code", "Calls and items of streams by the code of their answer. INTERNAL is a fault of ours, RESOURCE_EXHAUSTED mostly a lack of capacity.", "reqps",
          [Query(f'sum by (code) (rate({{__name__=~"longspan_requests_total|longspan_stream_items_total", {SERVER}}}{RATE})) > 0', "{{code}}")], stacked=True),
    Graph("Refused, by reason", "Calls refused before any work. MAX_QUEUE_... and DEADLINE_UNREACHABLE: add servers; the rest is the caller's to mend. "
          "The line: LongspanOverloaded.", "reqps", [Query(f"sum by (reason) (rate(longspan_rejected_total{{{SERVER}}}{RATE})) > 0", "{{reason}}")],
          bad=alert_threshold("LongspanOverloaded"), none="nothing refused"),
])

LATENCY = Row("Latency", [
    Graph("Time by length, 99 %", "Arrival to answer, by the length of a call's longest text in tokens; 99 of 100 calls take at most so long.", "s",
          [Query(quantile(0.99, "longspan_request_seconds_by_length", ", bucket") + " >= 0", "to {{bucket}}")]),
    Graph("Time by length, median", "The same, of the middle call.", "s",
          [Query(quantile(0.5, "longspan_request_seconds_by_length", ", bucket") + " >= 0", "to {{bucket}}")]),
    Graph("Budget burn over an hour", "How fast the error budget is spent: 1 uses it up in 30 days. Orange and red: the alerts that burn slowly and fast.", "short",
          [Query(f"longspan:slo_burn:ratio1h{{{JOB}}}", "{{slo}}")], warn=BURNS_SLOWLY, bad=BURNS_FAST),
    Graph("Time by stage, 99 %", "Where the time goes: reading texts, waiting for a batch (by lane), one forward pass.", "s",
          [Query(quantile(0.99, "longspan_tokenize_seconds") + " >= 0", "tokenize"), Query(quantile(0.99, "longspan_queue_seconds", ", lane") + " >= 0", "queue {{lane}}"),
           Query(quantile(0.99, "longspan_compute_seconds") + " >= 0", "compute")]),
    Graph("Time by method, 99 %", "Arrival to answer by method. A stream's time is that of the whole stream.", "s",
          [Query(quantile(0.99, "longspan_request_seconds", ", method") + " >= 0", "{{method}}")]),
    Graph("Ended early", "Calls whose client went away, or whose deadline passed, by the stage that they had reached.", "reqps",
          [Query(f"sum by (stage) (rate(longspan_cancelled_total{{{SERVER}}}{RATE})) > 0", "cancelled in {{stage}}"),
           Query(f"sum by (stage) (rate(longspan_expired_total{{{SERVER}}}{RATE})) > 0", "expired in {{stage}}")], none="none ended early"),
])

QUEUE = Row("Queue", [
    Graph("Predicted seconds", "longspan_queue_predicted_seconds: predicted computing time of what is accepted and not done. The autoscaler acts on it.", "s",
          [Query(f"longspan_queue_predicted_seconds{{{SERVER}}}", "{{instance}}")]),
    Graph("Wait and its limit", "Until a server has done what it has accepted, and how long its oldest text has waited. The line, half of what is allowed: "
          "LongspanQueueLong, LongspanQueueOld.", "s",
          [Query(f"longspan:queue_wait:seconds{{{SERVER}}}", "all of {{instance}}"), Query(f"longspan_queue_oldest_seconds{{{SERVER}}}", "oldest of {{instance}}"),
           Query(f"{QUEUE_SHARE:g} * min(longspan:queue_limit:seconds{{{SERVER}}})", "limit: half of what is allowed")]),
    Graph("Waiting tokens", "Tokens that wait for a worker.", "short", [Query(f"longspan_queue_tokens{{{SERVER}}}", "{{instance}}")], stacked=True),
])

BATCHES = Row("Batches", [
    Graph("Tokens read", "Tokens that the model read in a second, by server.", "short",
          [Query(f"sum by (instance) (rate(longspan_tokens_total{{{SERVER}}}{RATE}))", "{{instance}}")], stacked=True),
    Graph("Busy", "Share of its computing threads that a server uses. The line: LongspanSaturated.", "percentunit",
          [Query(f"longspan:compute_busy:ratio5m{{{SERVER}}}", "{{instance}}")], bad=alert_threshold("LongspanSaturated"), maximum=1),
    Graph("Passes", "Forward passes in a second, by device.", "ops", [Query(f"sum by (device) (rate(longspan_compute_seconds_count{{{SERVER}}}{RATE}))", "{{device}}")]),
    Graph("Tokens of a pass", "How large batches are: the mean, and the size that 95 of 100 stay below. The limit is --max-batch-tokens; a longer text runs alone.", "short",
          [Query(mean("longspan_batch_tokens"), "mean"), Query(quantile(0.95, "longspan_batch_tokens"), "95 %")]),
    Graph("Texts of a pass", "Texts, or pieces of texts, that share a pass.", "short",
          [Query(mean("longspan_batch_texts"), "mean"), Query(quantile(0.95, "longspan_batch_texts"), "95 %")]),
    Graph("Shape and prediction", "Share of a pass spent on padding (0 where batches are packed), and predicted over measured time: 1 is exact.", "short",
          [Query(mean("longspan_batch_wasted_ratio"), "padding"), Query(mean("longspan_batch_prediction_ratio"), "predicted / measured")]),
])

MEMORY = Row("Memory and device", [
    Graph("Memory of the process", "Resident memory, and the container's limit where it has one. At 95 % of it: LongspanMemoryNearLimit.", "bytes",
          [Query(f"process_resident_memory_bytes{{{SERVER}}}", "{{instance}}"), Query(f'longspan_memory_limit_bytes{{kind="container", {SERVER}}} > 0', "limit of {{instance}}")]),
    Graph("What holds it", "Weights, tensors in use or kept, answers and token vectors on their way, of all servers.", "bytes",
          [Query(f'sum(longspan_device_memory_bytes{{kind="weights", {SERVER}}})', "weights"), Query(f"sum(longspan_arena_bytes{{{SERVER}}})", "tensors"),
           Query(f"sum(longspan_answer_bytes{{{SERVER}}})", "answers"), Query(f"sum(longspan_token_vector_bytes{{{SERVER}}})", "token vectors")]),
    Graph("Batches split", "Batches run again in halves for lack of memory, in an hour. The line: LongspanBatchesSplit.", "short",
          [Query(f"increase(longspan_oom_splits_total{{{SERVER}}}[1h])", "{{instance}}")], bad=alert_threshold("LongspanBatchesSplit")),
    Graph("Memory of the card", "Share of a card's memory that is taken, by other processes too. The line: LongspanDeviceMemoryFull.", "percentunit",
          [Query(f'longspan_device_memory_bytes{{kind="resident", {SERVER}}} / ignoring (kind) longspan_device_memory_bytes{{kind="total", {SERVER}}}', "{{instance}}")],
          bad=alert_threshold("LongspanDeviceMemoryFull", 1), maximum=1, none="no card"),
    Graph("Recordings of the card", "Shapes of passes that were recorded or refused, and passes that were repeated from a recording. All 0 on the processor.", "ops",
          [Query(f"sum by (kind) (rate(longspan_recordings_total{{{SERVER}}}{RATE}))", "{{kind}}")]),
    Graph("Processor", "Cores that a server's process uses.", "short", [Query(f"rate(process_cpu_seconds_total{{{SERVER}}}{RATE})", "{{instance}}")]),
    Graph("Kept bytes", "Bytes of kept documents, and --max-collection-bytes, which bounds them. At 95 % of it: LongspanCollectionsFull.", "bytes",
          [Query(f'longspan_kept_bytes{{kind="documents", {SERVER}}}', "{{instance}}"),
           Query(f'longspan_limit{{limit="max_collection_bytes", {SERVER}}} > 0', "limit of {{instance}}")]),
    Graph("Kept documents", "Documents of all collections, by server.", "short", [Query(f"longspan_kept_documents{{{SERVER}}}", "{{instance}}")], stacked=True),
    Graph("Collections", "Collections of kept documents, by whether they can be used. One that cannot: LongspanCollectionsUnusable.", "short",
          [Query(f"sum by (state) (longspan_collections{{{SERVER}}})", "{{state}}")], stacked=True),
])

PROCESS = Row("Process and connections", [
    Graph("Calls in work", "Calls between arrival and the last byte of their answer, and those whose request is still on its way.", "short",
          [Query(f"sum by (method) (longspan_open_calls{{{SERVER}}}) > 0", "{{method}}"), Query(f"sum(longspan_receiving_calls{{{SERVER}}})", "receiving")]),
    Graph("Connections", "Open connections by port.", "short", [Query(f"sum by (port) (longspan_connections{{{SERVER}}})", "{{port}}")]),
    Graph("Turned away", "Connections refused, and calls ended because their caller did not send or read. The line: LongspanConnectionsRefused, LongspanCallersDropped.",
          "reqps", [Query(f"sum by (reason) (rate(longspan_connections_refused_total{{{SERVER}}}{RATE})) > 0", "{{reason}}"),
                    Query(f"sum by (reason) (rate(longspan_dropped_calls_total{{{SERVER}}}{RATE}))", "call: {{reason}}")],
          bad=alert_threshold("LongspanConnectionsRefused")),
    Graph("Age of the process", "Age of a server's process. It falls to 0 at a restart: LongspanCrashed, LongspanRestarts.", "s",
          [Query(f"time() - process_start_time_seconds{{{SERVER}}}", "{{instance}}")]),
    Graph("Descriptors", "Share of the file descriptors that are open. The line: LongspanDescriptorsNearLimit.", "percentunit",
          [Query(f"process_open_fds{{{SERVER}}} / process_max_fds{{{SERVER}}}", "{{instance}}")], bad=alert_threshold("LongspanDescriptorsNearLimit"), maximum=1),
    Graph("Lost and failed", "Log lines lost (LongspanLogLost), and looks at certificates or keys that cannot be used (LongspanReloadFails), in 5 minutes.", "short",
          [Query(f"sum(increase(longspan_log_dropped_total{{{SERVER}}}[5m]))", "log lines"),
           Query(f"sum by (files) (increase(longspan_reload_failures_total{{{SERVER}}}[5m]))", "{{files}}")]),
    Stat("Certificate", "Until the first certificate ends. Orange: LongspanCertificateExpiresSoon, red: LongspanCertificateExpires.", "s",
         [Query(f"min((longspan_tls_certificate_expiry_timestamp_seconds{{{SERVER}}} > 0) - time())", "ends in")], width=6, warn=7 * 86400, bad=21 * 86400, below=True,
         graph=False, none="no TLS"),
    Stat("Versions", "Versions of longspan that run. More than one for 2 h: LongspanVersionsMixed.", "short",
         [Query(f"count by (version) (longspan_build_info{{{SERVER}}})", "{{version}}")], width=6, names=True, graph=False),
    Stat("Scrapes", "Share of the scrapes of half an hour that succeeded, of the worst target. Red: LongspanScrapeGaps.", "percentunit",
         [Query(f"min(avg_over_time(up{{{SERVER}}}[30m]))", "scrapes")], width=6, bad=alert_threshold("LongspanScrapeGaps"), below=True, graph=False),
    Stat("Truncated", "Texts cut to fit the model, in a second.", "ops", [Query(f"sum(rate(longspan_truncated_total{{{SERVER}}}{RATE}))", "texts")], width=6),
])


def overview() -> Dashboard:
    return board("longspan-overview", "longspan / overview", "What the service does now, and where it hurts. Made by deploy/grafana/make_dashboards.py.",
                 [GLANCE, CALLS, LATENCY, QUEUE, BATCHES, MEMORY, PROCESS])
