// ProcessMetrics: the gauges of the process itself: memory by kind (longspan_arena_bytes,
// longspan_device_memory_bytes), and what Prometheus' client libraries tell of any process
// (process_resident_memory_bytes, process_open_fds, ...), under the names that dashboards know.
//
// Thread safety: Read from one thread at a time; Metrics calls it at each scrape, under its lock.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <cstdint>

namespace longspan {

class ProcessMetrics {
 public:
  // Registers the families there. `weight_bytes`: memory of the model's weights. The registry
  // outlives this object.
  ProcessMetrics(prometheus::Registry* registry, int64_t weight_bytes);

  // Sets the gauges to the values of now, from /proc/self and the tensor memory.
  void Read();

 private:
  prometheus::Gauge& arena_bytes_;
  prometheus::Gauge& device_resident_;
  prometheus::Gauge& device_peak_;
  prometheus::Gauge& resident_;
  prometheus::Gauge& virtual_;
  prometheus::Gauge& open_fds_;
  prometheus::Gauge& max_fds_;
  prometheus::Gauge& threads_;
  prometheus::Counter& cpu_seconds_;
};

}  // namespace longspan
