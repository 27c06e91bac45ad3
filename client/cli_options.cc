#include "client/cli_options.h"

#include <algorithm>

#include "absl/strings/numbers.h"

namespace longspan {

CLI::Option* AddChoice(CLI::App* app, const std::string& name, std::string* value,
                       const std::vector<std::string>& choices, const std::string& description) {
  const auto underscored = [](std::string given) {
    std::replace(given.begin(), given.end(), '-', '_');
    return given;
  };
  return app->add_option(name, *value, description)->transform(CLI::IsMember(choices, underscored));
}

CLI::Option* AddDuration(CLI::App* app, const std::string& name, absl::Duration* value,
                         bool allow_zero, const std::string& description) {
  const CLI::callback_t take = [value, allow_zero, name](const CLI::results_t& all) {
    const std::string& given = all.front();
    double seconds = 0;
    absl::Duration parsed;
    if (absl::SimpleAtod(given, &seconds)) {
      parsed = absl::Seconds(seconds);
    } else if (!absl::ParseDuration(given, &parsed)) {
      throw CLI::ValidationError(
          name, given + " is not a time; give seconds, or a number with ms, s, m or h");
    }
    if (parsed < absl::ZeroDuration() || (!allow_zero && parsed == absl::ZeroDuration()) ||
        parsed == absl::InfiniteDuration())
      throw CLI::ValidationError(name,
                                 given + " is out of range; a finite time above zero is allowed");
    *value = parsed;
    return true;
  };
  return app->add_option(name, take, description)
      ->type_name("TIME")
      ->default_str(absl::FormatDuration(*value));
}

}  // namespace longspan
