// ProcessMetrics: the gauges of the process itself: memory by kind (longspan_arena_bytes,
// longspan_device_memory_bytes, which is the process's own on the CPU and else the card's), and
// what Prometheus' client libraries tell of any process (process_resident_memory_bytes,
// process_open_fds, ...), under the names that dashboards know.
//
// Thread safety: Read from one thread at a time; Metrics calls it at each scrape, under its lock.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <optional>

#include "core/device_memory.h"

namespace longspan {

class ProcessMetrics {
 public:
  // Registers the families there. `weight_bytes`: memory of the model's weights; `on_card`: they
  // are on a card. The registry outlives this object.
  ProcessMetrics(prometheus::Registry* registry, int64_t weight_bytes, bool on_card);

  // Sets the gauges to the values of now, from /proc/self, the tensor memory and `card`.
  void Read(const std::optional<DeviceMemory>& card);

 private:
  prometheus::Gauge& arena_bytes_;
  prometheus::Gauge& device_resident_;
  prometheus::Gauge* const device_peak_;   // null on a card, which does not tell it
  prometheus::Gauge* const device_total_;  // null on the CPU
  prometheus::Gauge& resident_;
  prometheus::Gauge& virtual_;
  prometheus::Gauge& open_fds_;
  prometheus::Gauge& max_fds_;
  prometheus::Gauge& threads_;
  prometheus::Counter& cpu_seconds_;
};

}  // namespace longspan
