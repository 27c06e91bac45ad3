#include "core/backend/open_backend.h"

#include <dlfcn.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <system_error>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "core/backend/backend.h"

namespace longspan {
namespace {

constexpr char kCardPrefix[] = "cuda:";
constexpr int kMostCards = 1024;  // numbers above it are slips of the pen

// The number of the card that `device` names; nullopt where it names none.
std::optional<int> CardOf(const std::string& device) {
  if (device == "cuda") return 0;
  if (!device.starts_with(kCardPrefix)) return std::nullopt;
  const std::string digits = device.substr(sizeof(kCardPrefix) - 1);
  int card = 0;
  const bool all_digits = !digits.empty() && std::all_of(digits.begin(), digits.end(), [](char c) {
    return absl::ascii_isdigit(c);
  });
  if (!all_digits || !absl::SimpleAtoi(digits, &card) || card >= kMostCards) return std::nullopt;
  return card;
}

// The library beside the running program, where it lies there; else as it is named.
std::string PathOf(const std::string& library) {
  if (library.find('/') != std::string::npos) return library;
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return library;
  const std::filesystem::path beside = program.parent_path() / library;
  return std::filesystem::exists(beside, error) ? beside.string() : library;
}

std::string OneLineOf(const char* text) {
  std::string line = text == nullptr ? "no reason given" : text;
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

// The plugin stays open for the life of the process: its code may run as long as a tensor lives.
absl::StatusOr<OpenBackendFunction*> LoadPlugin(const std::string& library) {
  void* const handle = dlopen(PathOf(library).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the CUDA plugin ", library,
                     " cannot be loaded; it lies beside the program or in its library path: ",
                     OneLineOf(dlerror())));
  }
  void* const symbol = dlsym(handle, kOpenBackendSymbol);
  if (symbol == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(library, " is no plugin of longspan: it has no ", kOpenBackendSymbol));
  }
  return reinterpret_cast<OpenBackendFunction*>(symbol);
}

absl::StatusOr<std::shared_ptr<const Backend>> OpenCard(int card, const BackendPlugin& plugin) {
  const absl::StatusOr<OpenBackendFunction*> open = LoadPlugin(plugin.library);
  if (!open.ok()) return open.status();
  char error[kOpenBackendErrorBytes] = "";
  Backend* const backend = (*open)(kBackendInterface, card, error);
  if (backend != nullptr) return std::shared_ptr<const Backend>(backend);
  error[kOpenBackendErrorBytes - 1] = '\0';
  return absl::FailedPreconditionError(OneLineOf(error));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> SplitDevices(const std::string& devices) {
  if (devices == "cpu" || devices == "auto") return std::vector<std::string>{devices};
  std::vector<std::string> split;
  std::set<int> cards;
  for (const absl::string_view part : absl::StrSplit(devices, ',')) {
    split.push_back(split.empty() ? std::string(part) : absl::StrCat(kCardPrefix, part));
    const std::optional<int> card = CardOf(split.back());
    if (card.has_value() && cards.insert(*card).second) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("device is '", absl::CHexEscape(devices), "'; allowed: ", kDeviceNames));
  }
  return split;
}

absl::StatusOr<std::shared_ptr<const Backend>> OpenBackend(const std::string& device,
                                                           const BackendPlugin& plugin,
                                                           std::string* why_cpu) {
  if (device == "cpu") return std::shared_ptr<const Backend>();
  const bool any = device == "auto";
  const std::optional<int> card = any ? 0 : CardOf(device);
  if (!card.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("device is '", absl::CHexEscape(device),
                                                   "'; allowed: ", "cpu, cuda, cuda:N, auto"));
  }
  absl::StatusOr<std::shared_ptr<const Backend>> backend = OpenCard(*card, plugin);
  if (backend.ok()) return backend;
  if (any) {
    if (why_cpu != nullptr) *why_cpu = std::string(backend.status().message());
    return std::shared_ptr<const Backend>();
  }
  return absl::Status(backend.status().code(),
                      absl::StrCat("device is '", device, "': ", backend.status().message()));
}

}  // namespace longspan
