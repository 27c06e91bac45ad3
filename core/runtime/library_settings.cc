#include "core/runtime/library_settings.h"

#include <omp.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

// Instruction sets below AVX-512 with VNNI. On a processor that has it, oneDNN then runs code that
// is made for older processors: int8 products saturate, bfloat16 takes a reference loop, and
// float32 rounds differently (3.4e-5 from the published code).
constexpr std::array<std::string_view, 6> kWeakerInstructionSets = {
    "SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE"};

bool ProcessorHasVnni() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

// The bytes that OMP_STACKSIZE means: a number with the unit B, K, M or G, K where none is given.
// nullopt = OpenMP ignores the value, because it is none of these.
std::optional<double> StackBytes(const char* value) {
  char* end = nullptr;
  const double number = std::strtod(value, &end);
  if (end == value || number <= 0) return std::nullopt;
  const std::string unit =
      absl::AsciiStrToUpper(absl::StripAsciiWhitespace(absl::string_view(end)));
  if (unit == "B") return number;
  if (unit.empty() || unit == "K") return number * 1024;
  if (unit == "M") return number * 1024 * 1024;
  if (unit == "G") return number * 1024 * 1024 * 1024;
  return std::nullopt;
}

absl::Status CheckStacks() {
  // libgomp reads the second where the first is not set or means nothing.
  for (const char* name : {"OMP_STACKSIZE", "GOMP_STACKSIZE"}) {
    const char* const value = FindVariable(name);
    const std::optional<double> bytes = value == nullptr ? std::nullopt : StackBytes(value);
    if (!bytes) continue;
    if (*bytes >= kLeastStackBytes) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat(name, " is ", value, "; computing threads need at least ",
                     kLeastStackBytes >> 10, "K of stack: raise it or unset it"));
  }
  pthread_attr_t attributes;
  size_t bytes = 0;
  if (pthread_getattr_default_np(&attributes) != 0) return absl::OkStatus();
  pthread_attr_getstacksize(&attributes, &bytes);
  pthread_attr_destroy(&attributes);
  if (bytes >= kLeastStackBytes) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("threads get stacks of ", bytes >> 10, "K (ulimit -s); at least ",
                   kLeastStackBytes >> 10, "K are needed: raise it"));
}

absl::Status CheckInstructionSet() {
  // oneDNN reads the second where the first is not set.
  const char* name = "ONEDNN_MAX_CPU_ISA";
  const char* value = FindVariable(name);
  if (value == nullptr) value = FindVariable(name = "DNNL_MAX_CPU_ISA");
  if (value == nullptr || !ProcessorHasVnni()) return absl::OkStatus();
  const std::string set = absl::AsciiStrToUpper(value);
  if (std::count(kWeakerInstructionSets.begin(), kWeakerInstructionSets.end(), set) == 0)
    return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(name, " is ", value, ", with which int8 and bfloat16 are wrong or slow on this ",
                   "processor: unset it"));
}

absl::Status CheckCacheOfPrimitives() {
  // LibTorch's own cache of products crashes where it may hold none.
  const char* const value = FindVariable("LRU_CACHE_CAPACITY");
  // It reads the number as strtol does; words are 0.
  if (value == nullptr || std::strtol(value, nullptr, 10) >= 1) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("LRU_CACHE_CAPACITY is ", value, "; it must be at least 1: unset it"));
}

absl::Status CheckVectorMath() {
  const char* const value = FindVariable("MKL_VML_DEBUG_CPU_TYPE");
  if (value == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "MKL_VML_DEBUG_CPU_TYPE is ", value, ", with which exp and its like are those of ",
      "another processor, or of lower precision: unset it"));
}

}  // namespace

const std::vector<LibrarySetting>& LibrarySettings() {
  using enum SettingUse;
  static const auto* const settings = new std::vector<LibrarySetting>{
      {"OMP_THREAD_LIMIT", kHonoured},
      {"OMP_WAIT_POLICY", kHonoured},
      {"GOMP_SPINCOUNT", kHonoured},
      {"ONEDNN_PRIMITIVE_CACHE_CAPACITY", kHonoured},
      {"DNNL_PRIMITIVE_CACHE_CAPACITY", kHonoured},
      {"ATEN_CPU_CAPABILITY", kHonoured},
      {"MKL_CBWR", kHonoured},
      {"MKL_ENABLE_INSTRUCTIONS", kHonoured},
      {"OMP_NUM_THREADS", kOverridden},
      {"OMP_DYNAMIC", kOverridden},
      {"OMP_MAX_ACTIVE_LEVELS", kOverridden},
      {"OMP_NESTED", kOverridden},
      {"OMP_SCHEDULE", kOverridden},
      {"MKL_NUM_THREADS", kOverridden},
      {"MKL_DOMAIN_NUM_THREADS", kOverridden},
      {"MKL_DYNAMIC", kOverridden},
      {"OMP_STACKSIZE", kRemoved},
      {"GOMP_STACKSIZE", kRemoved},
      {"OMP_PROC_BIND", kRemoved},
      {"OMP_PLACES", kRemoved},
      {"GOMP_CPU_AFFINITY", kRemoved},
      {"ONEDNN_MAX_CPU_ISA", kRemoved},
      {"DNNL_MAX_CPU_ISA", kRemoved},
      {"ONEDNN_CPU_ISA_HINTS", kRemoved},
      {"DNNL_CPU_ISA_HINTS", kRemoved},
      {"ONEDNN_DEFAULT_FPMATH_MODE", kRemoved},
      {"DNNL_DEFAULT_FPMATH_MODE", kRemoved},
      {"LRU_CACHE_CAPACITY", kRemoved},
      {"MKL_VML_DEBUG_CPU_TYPE", kRemoved},
      {"OMP_CANCELLATION", kNoEffect},
      {"OMP_TEAMS_THREAD_LIMIT", kNoEffect},
      {"MKL_THREADING_LAYER", kNoEffect},
  };
  return *settings;
}

const char* FindVariable(std::string_view name) {
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view variable(*entry);
    if (variable.size() > name.size() && variable.starts_with(name) && variable[name.size()] == '=')
      return *entry + name.size() + 1;
  }
  return nullptr;
}

absl::Status CheckLibrarySettings() {
  for (const auto check :
       {CheckStacks, CheckInstructionSet, CheckCacheOfPrimitives, CheckVectorMath}) {
    if (absl::Status status = check(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

std::string DescribeThreadSettings() {
  const char* const limit = FindVariable("OMP_THREAD_LIMIT");
  if (limit != nullptr && omp_get_thread_limit() < std::numeric_limits<int>::max())
    return absl::StrCat("OMP_THREAD_LIMIT=", limit, " is set");
  std::string found;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const absl::string_view variable(*entry);
    if (absl::StartsWith(variable, "OMP_") || absl::StartsWith(variable, "GOMP_") ||
        absl::StartsWith(variable, "KMP_"))
      absl::StrAppend(&found, found.empty() ? "" : ", ", variable);
  }
  return found.empty() ? "the OpenMP library gives no more, and no variable of it is set"
                       : absl::StrCat("the OpenMP library gives no more with ", found);
}

}  // namespace longspan
