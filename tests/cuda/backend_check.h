// What the sections of backend_check share. Each section stands in a file of its own.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/encoder.h"
#include "tests/cuda/check_report.h"
#include "tests/cuda/random_models.h"

namespace longspan {

struct CheckOptions {
  std::string device = "cuda:0";  // cuda:N, or "portable": LibTorch's own operations on the CPU
  std::string fixtures;  // folder of the golden fixtures; empty = their section is left out
  std::string models;    // folder where random models are made and kept
  std::string json;      // file of the report; empty = none is written
  double minutes = 6;
  std::vector<std::string> sections;  // empty = all
  bool tiny = false;                  // small shapes and few passes: for the dry run on a CPU
};

// Where the sections run.
struct CheckPlace {
  CheckOptions options;
  std::shared_ptr<const Backend> backend;
  std::chrono::steady_clock::time_point deadline;

  bool TimeIsOver() const { return std::chrono::steady_clock::now() >= deadline; }
};

// The storage types of a device, the most telling first.
inline constexpr DataType kCheckedTypes[] = {DataType::kFloat32, DataType::kBFloat16,
                                             DataType::kFloat16};

inline std::string NameOf(DataType dtype) { return std::string(DataTypeName(dtype)); }

// --- The sections.

void CheckDevice(const CheckPlace& place, CheckSection& section);
// The golden fixtures against the CPU in float32 and against the published code's rows.
void CheckFixtures(const CheckPlace& place, CheckSection& section);
// The operations of a Backend against the portable backend on the CPU in float32.
void CheckRowOperations(const CheckPlace& place, CheckSection& section);
void CheckAttention(const CheckPlace& place, CheckSection& section);
void CheckChunks(const CheckPlace& place, CheckSection& section);
// Random models of the published widths against the CPU in float32; texts in a batch, beside texts
// that leave and beside texts of NaN, against themselves alone.
void CheckModels(const CheckPlace& place, CheckSection& section);
// Passes that a device has recorded against those of single operations.
void CheckRecordings(const CheckPlace& place, CheckSection& section);
void MeasureThroughput(const CheckPlace& place, CheckSection& section);
void MeasureMemory(const CheckPlace& place, CheckSection& section);

// --- What several sections do.

// How far `got` is from `want`. NaN anywhere makes all of it NaN.
struct Distance {
  double absolute = 0;          // the largest difference of two values
  double relative = 0;          // |got - want| / |want|, of the whole
  double one_minus_cosine = 0;  // of the whole
  // Keeps the larger of each; NaN is larger than any number.
  void Raise(const Distance& other);
};
Distance DistanceOf(std::span<const float> got, std::span<const float> want);

// The folder of a random model, which is made where it is not there yet.
absl::StatusOr<std::string> FolderOf(const CheckPlace& place, const RandomModel& model,
                                     ModelScale scale);
// The number of the card that "cuda:N" names; 0 for other names.
int CardOf(const std::string& device);
// An encoder on the checked backend.
absl::StatusOr<std::unique_ptr<Encoder>> LoadOnDevice(const CheckPlace& place,
                                                      const std::string& folder, DataType dtype);
// Ids from 3 on, by a linear congruential generator (Numerical Recipes, 7.1). peers.py draws the
// same ones.
std::vector<int32_t> DrawIds(int64_t count, int64_t vocabulary, uint32_t seed);

}  // namespace longspan
