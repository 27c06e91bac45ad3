// backend_check: proves a card's backend against the CPU, then measures it.
//
//   backend_check [--device cuda:0|cuda:N|portable] [--fixtures DIR] [--models DIR] [--minutes M]
//                 [--json FILE] [--sections NAME,...] [--tiny]
//
// Sections, in this order: device, fixtures, models, recordings, attention, chunks, rows,
// throughput, memory. Each row is printed as it is found. When the minutes are over, the rows that
// are left say so. "portable" runs LibTorch's own operations on the CPU in the place of a card,
// --tiny makes all of it small: the dry run. --models keeps the random models for peers.py.
//
// Exit code 0 = no comparison failed; 1 = one failed, or the device cannot be had, which one line
// says; 2 = wrong arguments.
#include <c10/core/DeviceGuard.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/backend/open_backend.h"
#include "core/runtime/runtime_environment.h"
#include "tests/core/backend/recording_backend.h"
#include "tests/cuda/backend_check.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

struct SectionOfCheck {
  const char* name;
  void (*run)(const CheckPlace& place, CheckSection& section);
};
constexpr SectionOfCheck kSections[] = {
    {"device", CheckDevice},         {"fixtures", CheckFixtures},       {"models", CheckModels},
    {"recordings", CheckRecordings}, {"attention", CheckAttention},     {"chunks", CheckChunks},
    {"rows", CheckRowOperations},    {"throughput", MeasureThroughput}, {"memory", MeasureMemory}};

std::string SectionNames() {
  return absl::StrJoin(kSections, ", ", [](std::string* out, const SectionOfCheck& section) {
    out->append(section.name);
  });
}

bool IsSection(const std::string& name) {
  return std::any_of(std::begin(kSections), std::end(kSections),
                     [&](const SectionOfCheck& section) { return name == section.name; });
}

// What is wrong with the arguments; empty = nothing.
std::string Parse(const std::vector<std::string>& arguments, CheckOptions& options) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& flag = arguments[i];
    if (flag == "--tiny") {
      options.tiny = true;
      continue;
    }
    if (i + 1 == arguments.size()) return absl::StrCat(flag, " needs a value, or is not known");
    const std::string& value = arguments[++i];
    if (flag == "--device") {
      options.device = value;
    } else if (flag == "--fixtures") {
      options.fixtures = value;
    } else if (flag == "--models") {
      options.models = value;
    } else if (flag == "--json") {
      options.json = value;
    } else if (flag == "--sections") {
      options.sections = absl::StrSplit(value, ',', absl::SkipEmpty());
    } else if (flag != "--minutes") {
      return absl::StrCat(flag, " is not known");
    } else if (!absl::SimpleAtod(value, &options.minutes) || !(options.minutes > 0)) {
      return absl::StrCat("--minutes is '", value, "'; allowed: numbers above 0");
    }
  }
  for (const std::string& name : options.sections) {
    if (!IsSection(name))
      return absl::StrCat("no section is called '", name, "'; allowed: ", SectionNames());
  }
  return "";
}

absl::StatusOr<std::shared_ptr<const Backend>> Open(const std::string& device) {
  if (device == "portable") return std::make_shared<const RecordingBackend>();
  auto backend = OpenBackend(device);
  if (backend.ok() && *backend == nullptr)
    return absl::InvalidArgumentError("the CPU is no backend; allowed: cuda, cuda:N, portable");
  return backend;
}

// The file of the report. It is written again as rows come, so that a run that is ended leaves what
// it has found.
class ReportFile {
 public:
  explicit ReportFile(const CheckPlace& place) : place_(place) {}

  // After a row of the section that runs: at most every other second.
  void Update(const CheckSection& section) {
    const auto now = std::chrono::steady_clock::now();
    if (now - written_ < std::chrono::seconds(2)) return;
    written_ = now;
    ReportJson sections = finished_;
    sections.push_back(section.Json(/*over=*/false));
    Write(sections);
  }
  void Finish(const CheckSection& section) {
    finished_.push_back(section.Json(/*over=*/true));
    Write(finished_);
  }

 private:
  // Under another name until it is whole.
  void Write(const ReportJson& sections) const {
    if (place_.options.json.empty()) return;
    const std::string part = place_.options.json + ".part";
    std::ofstream file(part);
    file << ReportJson{{"device", place_.backend->name()}, {"sections", sections}}.dump(1) << "\n";
    file.close();
    std::rename(part.c_str(), place_.options.json.c_str());
  }

  const CheckPlace& place_;
  ReportJson finished_ = ReportJson::array();
  std::chrono::steady_clock::time_point written_;
};

// A section must not end those behind it.
void RunSection(const SectionOfCheck& of_check, const CheckPlace& place, CheckSection& section) {
  try {
    // Operations run on the current device.
    c10::OptionalDeviceGuard guard;
    if (!place.backend->device().is_cpu()) guard.reset_device(place.backend->device());
    of_check.run(place, section);
  } catch (const c10::Error& error) {
    section.Require("the section", false, error.what_without_backtrace());
  } catch (const std::exception& error) {
    section.Require("the section", false, error.what());
  }
}

int Run(const CheckPlace& place) {
  ReportFile report(place);
  std::vector<std::string> failed, incomplete;
  for (const SectionOfCheck& of_check : kSections) {
    const std::vector<std::string>& wanted = place.options.sections;
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), of_check.name) == wanted.end())
      continue;
    std::printf("== %s\n", of_check.name);
    CheckSection section(of_check.name, [&](const CheckSection& s) { report.Update(s); });
    RunSection(of_check, place, section);
    if (section.num_failed() > 0) failed.emplace_back(of_check.name);
    if (!section.complete()) incomplete.emplace_back(of_check.name);
    report.Finish(section);
  }
  if (!incomplete.empty())
    std::printf("the time did not suffice for all of: %s\n",
                absl::StrJoin(incomplete, ", ").c_str());
  std::printf("%s\n", failed.empty() ? "no comparison failed"
                                     : ("FAILED: " + absl::StrJoin(failed, ", ")).c_str());
  return failed.empty() ? 0 : 1;
}

int Main(const std::vector<std::string>& arguments) {
  CheckPlace place;
  if (const std::string wrong = Parse(arguments, place.options); !wrong.empty()) {
    std::fprintf(stderr, "backend_check: %s\n", wrong.c_str());
    return 2;
  }
  place.deadline = std::chrono::steady_clock::now() +
                   std::chrono::milliseconds(static_cast<int64_t>(place.options.minutes * 60e3));
  auto backend = Open(place.options.device);
  if (!backend.ok()) {
    std::fprintf(stderr, "backend_check: %s\n", std::string(backend.status().message()).c_str());
    return 1;
  }
  place.backend = *std::move(backend);
  const TemporaryFolder scratch;
  if (place.options.models.empty()) place.options.models = scratch.path();
  return Run(place);
}

}  // namespace
}  // namespace longspan

int main(int argc, char** argv) {
  longspan::EnterRuntimeEnvironment(argv);
  return longspan::Main({argv + std::min(argc, 1), argv + argc});
}
