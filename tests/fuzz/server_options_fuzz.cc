// Any texts as what an operator may set: the input is cut at bytes 0x1E into the file of --config,
// pairs NAME=VALUE of the environment, and words of the command line, of which the first byte tells
// the kind (E or A). They are read, or refused in one line; what is read can be checked and
// printed.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz_folder.h"
#include "server/server_options.h"

namespace longspan {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

void Check(std::string_view input) {
  const auto next = [&input] {
    const std::string_view part = input.substr(0, input.find('\x1E'));
    input.remove_prefix(std::min(input.size(), part.size() + 1));
    return part;
  };
  const std::string path = FuzzFolder("server_options_fuzz") + "/config";
  WriteFuzzFile(path, next());
  std::map<std::string, std::string> environment;
  std::vector<std::string> arguments = {"--config", path};
  while (!input.empty()) {
    const std::string_view part = next();
    if (part.starts_with('E')) {
      const size_t equals = part.find('=');
      if (equals != std::string_view::npos)
        environment[std::string(part.substr(1, equals - 1))] = std::string(part.substr(equals + 1));
    } else if (part.starts_with('A')) {
      arguments.emplace_back(part.substr(1));
    }
  }
  const auto parsed = ParseServerOptions(
      arguments, [&environment](const std::string& name) -> std::optional<std::string> {
        const auto found = environment.find(name);
        if (found == environment.end()) return std::nullopt;
        return found->second;
      });
  if (!parsed.ok())
    return Require(parsed.status().code() == absl::StatusCode::kInvalidArgument &&
                   !parsed.status().message().empty());
  Require(!DescribeOptions(*parsed).empty());
  const absl::Status valid = Validate(parsed->options);
  if (!valid.ok()) return Require(!valid.message().empty());
  // What passes keeps the limits of the table.
  const ServerOptions& options = parsed->options;
  Require(options.max_texts_per_request >= 1 && options.max_text_bytes >= 1);
  Require(options.max_request_bytes >= 1024 && options.tokenizer_threads >= 1);
  Require(options.max_queue_seconds > 0 && options.default_deadline <= options.max_deadline);
}

}  // namespace
}  // namespace longspan

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  longspan::Check({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
