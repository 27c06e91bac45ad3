#include "server/telemetry/process_metrics.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/runtime/memory.h"

namespace longspan {
namespace {

using prometheus::Family;
using prometheus::Gauge;

Family<Gauge>& Gauges(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry);
}
Gauge& OneGauge(prometheus::Registry* registry, const char* name, const char* help) {
  return Gauges(registry, name, help).Add({});
}
// Registering a family once more gives the one that is there.

Gauge& MemoryOfDevice(prometheus::Registry* registry, const char* kind) {
  return Gauges(registry, "longspan_device_memory_bytes",
                "Memory of the computing device, by kind.")
      .Add({{"kind", kind}});
}

std::string ReadFile(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The number of a line such as "VmRSS:     1234 kB" of /proc/self/status, memory in bytes; 0 where
// there is no such line.
double ProcStatus(const std::string& content, const char* key) {
  const size_t at = content.find(absl::StrCat("\n", key, ":"));
  if (at == std::string::npos) return 0;
  const bool kilobytes = absl::StartsWith(key, "Vm");
  return std::strtod(content.c_str() + at + 2 + std::string_view(key).size(), nullptr) *
         (kilobytes ? 1024 : 1);
}

// User and system time of the process so far.
double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

ProcessMetrics::ProcessMetrics(prometheus::Registry* registry, int64_t weight_bytes, bool on_card)
    : arena_bytes_(OneGauge(registry, "longspan_arena_bytes",
                            "Tensor memory in use or kept for the next pass.")),
      device_resident_(MemoryOfDevice(registry, "resident")),
      device_peak_(on_card ? nullptr : &MemoryOfDevice(registry, "peak")),
      device_total_(on_card ? &MemoryOfDevice(registry, "total") : nullptr),
      resident_(
          OneGauge(registry, "process_resident_memory_bytes", "Resident memory size in bytes.")),
      virtual_(OneGauge(registry, "process_virtual_memory_bytes", "Virtual memory size in bytes.")),
      open_fds_(OneGauge(registry, "process_open_fds", "Number of open file descriptors.")),
      max_fds_(OneGauge(registry, "process_max_fds", "Maximum number of open file descriptors.")),
      threads_(OneGauge(registry, "process_threads", "Number of threads.")),
      cpu_seconds_(prometheus::BuildCounter()
                       .Name("process_cpu_seconds_total")
                       .Help("User and system CPU time spent, in seconds.")
                       .Register(*registry)
                       .Add({})) {
  MemoryOfDevice(registry, "weights").Set(static_cast<double>(weight_bytes));
  OneGauge(registry, "process_start_time_seconds",
           "Start time of the process since the Unix epoch in seconds.")
      .Set(absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()));
}

void ProcessMetrics::Read(const std::optional<DeviceMemory>& card) {
  const MemoryStats memory = GetMemoryStats();
  arena_bytes_.Set(static_cast<double>(memory.live_bytes + memory.cached_bytes));

  const std::string status = ReadFile("/proc/self/status");
  const double resident = ProcStatus(status, "VmRSS");
  const bool on_card = device_total_ != nullptr;
  if (on_card && card.has_value()) {
    device_total_->Set(static_cast<double>(card->total_bytes));
    device_resident_.Set(static_cast<double>(card->total_bytes - card->free_bytes));
  }
  if (!on_card) {
    device_resident_.Set(resident);
    device_peak_->Set(ProcStatus(status, "VmHWM"));
  }
  resident_.Set(resident);
  virtual_.Set(ProcStatus(status, "VmSize"));
  threads_.Set(ProcStatus(status, "Threads"));

  std::error_code ignored;
  const std::filesystem::directory_iterator fds("/proc/self/fd", ignored);
  open_fds_.Set(static_cast<double>(std::distance(begin(fds), end(fds))));
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) max_fds_.Set(static_cast<double>(limit.rlim_cur));

  cpu_seconds_.Increment(std::max(0.0, CpuSeconds() - cpu_seconds_.Value()));
}

}  // namespace longspan
