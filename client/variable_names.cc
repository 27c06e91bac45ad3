#include "client/variable_names.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace longspan {
namespace {

struct Known {
  absl::string_view name;
  size_t near;  // a name that differs in so many letters is a misspelling of this one
};
constexpr std::array<Known, 4> kKnown = {
    {{"LONGSPAN_SERVER", 2}, {"LONGSPAN_LISTEN", 2}, {"LONGSPAN_KEY", 1}, {"LONGSPAN_CA", 1}}};

// Number of letters to change, add or leave out to make one name of the other (Levenshtein).
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

absl::Status CheckVariableNames(const std::vector<std::string>& variables) {
  constexpr size_t kLongest = 32;  // no misspelling is longer
  for (const std::string& variable : variables) {
    const absl::string_view name = absl::string_view(variable).substr(0, variable.find('='));
    if (name.size() > kLongest) continue;
    for (const Known& known : kKnown) {
      const size_t distance = Distance(name, known.name);
      if (distance == 0 || distance > known.near) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "environment variable ", name, " is not known; ", known.name, " is (unset the other)"));
    }
  }
  return absl::OkStatus();
}

}  // namespace longspan
