// What several sections of backend_check do, and the section "device".
#include "tests/cuda/backend_check.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/runtime/libtorch_version.h"
#include "tests/cuda/cuda_driver.h"

namespace longspan {
namespace {

std::string ProcessorName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace

int CardOf(const std::string& device) {
  int card = 0;
  const size_t colon = device.find(':');
  if (colon == std::string::npos || !absl::SimpleAtoi(device.substr(colon + 1), &card)) return 0;
  return card;
}

void Distance::Raise(const Distance& other) {
  const auto raise = [](double& mine, double theirs) {
    if (!(theirs <= mine)) mine = std::isnan(mine) ? mine : theirs;
  };
  raise(absolute, other.absolute);
  raise(relative, other.relative);
  raise(one_minus_cosine, other.one_minus_cosine);
}

Distance DistanceOf(std::span<const float> got, std::span<const float> want) {
  if (got.size() != want.size()) return {NAN, NAN, NAN};
  double difference = 0, got_norm = 0, want_norm = 0, dot = 0, worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double g = got[i], w = want[i];
    if (!(std::abs(g - w) <= worst)) worst = std::abs(g - w);  // NaN counts
    difference += (g - w) * (g - w);
    got_norm += g * g;
    want_norm += w * w;
    dot += g * w;
  }
  if (std::isnan(difference)) return {NAN, NAN, NAN};
  // Zeros are as far from zeros as can be told: not at all.
  if (want_norm == 0 && got_norm == 0) return {};
  return {.absolute = worst,
          .relative = std::sqrt(difference / want_norm),
          .one_minus_cosine = std::max(0.0, 1 - dot / std::sqrt(got_norm * want_norm))};
}

absl::StatusOr<std::string> FolderOf(const CheckPlace& place, const RandomModel& model,
                                     ModelScale scale) {
  constexpr const char* kScales[] = {"base", "shallow", "tiny"};
  // Whole models keep their plain name, under which peers.py finds them.
  const std::string name = scale == ModelScale::kBase
                               ? model.name
                               : absl::StrCat(model.name, "-", kScales[static_cast<int>(scale)]);
  const std::string folder = absl::StrCat(place.options.models, "/", name);
  if (std::filesystem::exists(folder + "/config.json")) return folder;
  if (absl::Status status = WriteRandomModel(model, folder); !status.ok()) return status;
  return folder;
}

absl::StatusOr<std::unique_ptr<Encoder>> LoadOnDevice(const CheckPlace& place,
                                                      const std::string& folder, DataType dtype) {
  return Encoder::Load(folder, {.dtype = dtype, .backend = place.backend});
}

std::vector<int32_t> DrawIds(int64_t count, int64_t vocabulary, uint32_t seed) {
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) {
    seed = seed * 1664525U + 1013904223U;
    id = 3 + static_cast<int32_t>((seed >> 8) % (vocabulary - 3));
  }
  return ids;
}

void CheckDevice(const CheckPlace& place, CheckSection& section) {
  const CudaDriver driver(CardOf(place.options.device));
  const unsigned cores = std::thread::hardware_concurrency();
  section.Measured("backend", place.backend->name(), {{"name", place.backend->name()}});
  section.Measured("LibTorch", std::string(LibTorchVersion()),
                   {{"version", std::string(LibTorchVersion())}});
  section.Measured("processor", absl::StrCat(ProcessorName(), ", ", cores, " threads"),
                   {{"name", ProcessorName()}, {"threads", cores}});
  if (place.options.device == "portable") {
    section.Skip("card", "the portable backend runs on the CPU");
  } else if (driver.name().empty()) {
    section.Skip("card", "libcuda.so.1 does not tell");
  } else {
    section.Measured(
        "card",
        absl::StrFormat("%s, compute capability %d.%d, %d multiprocessors, %.1f GiB, driver of "
                        "CUDA %d.%d",
                        driver.name(), driver.compute_capability() / 10,
                        driver.compute_capability() % 10, driver.num_processors(),
                        static_cast<double>(driver.total_bytes()) / (1 << 30),
                        driver.version() / 1000, driver.version() % 1000 / 10),
        {{"name", driver.name()},
         {"compute_capability", driver.compute_capability()},
         {"multiprocessors", driver.num_processors()},
         {"bytes", driver.total_bytes()},
         {"driver_cuda_version", driver.version()}});
  }
  section.Require("CheckDevice()", place.backend->CheckDevice().ok(),
                  place.backend->CheckDevice().ToString());
}

}  // namespace longspan
