#include "client/variable_names.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "proto/longspan/v1/edit_distance.h"

namespace longspan {
namespace {

struct Known {
  absl::string_view name;
  size_t near;  // a name that differs in so many letters is a misspelling of this one
};
constexpr std::array<Known, 4> kKnown = {
    {{"LONGSPAN_SERVER", 2}, {"LONGSPAN_LISTEN", 2}, {"LONGSPAN_KEY", 1}, {"LONGSPAN_CA", 1}}};

}  // namespace

absl::Status CheckVariableNames(const std::vector<std::string>& variables) {
  constexpr size_t kLongest = 32;  // no misspelling is longer
  for (const std::string& variable : variables) {
    const absl::string_view name = absl::string_view(variable).substr(0, variable.find('='));
    if (name.size() > kLongest) continue;
    for (const Known& known : kKnown) {
      const size_t distance = EditDistance(name, known.name);
      if (distance == 0 || distance > known.near) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "environment variable ", name, " is not known; ", known.name, " is (unset the other)"));
    }
  }
  return absl::OkStatus();
}

}  // namespace longspan
