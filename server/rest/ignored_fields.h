// IgnoredFields: the fields of a JSON request that its route does not know. Clients send fields of
// later versions and of other services, so they are not refused, but the answer names them in the
// header X-Ignored-Fields: a misspelt option does not go by in silence. Under --strict-json the
// first one is refused.
//
// Thread safety: none.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_join.h"
#include "core/error_details.h"
#include "server/http/http_message.h"

namespace longspan {

class IgnoredFields {
 public:
  explicit IgnoredFields(bool strict = false) : strict_(strict) {}

  // INVALID_ARGUMENT where none may be ignored. `allowed`: the names that are known.
  absl::Status Add(const std::string& path, const std::string& allowed) {
    if (strict_) return InvalidField(Quoted(path), "is not known; allowed: " + allowed);
    constexpr size_t kMostNamed = 10;
    constexpr size_t kMostBytes = 64;
    const bool plain = std::all_of(path.begin(), path.end(),
                                   [](char c) { return c > 0x20 && c < 0x7f && c != ','; });
    if (names_.size() < kMostNamed)
      names_.push_back(plain && path.size() <= kMostBytes ? path : "?");
    return absl::OkStatus();
  }

  void AddHeader(HttpResponse* response) const {
    if (!names_.empty()) response->headers["X-Ignored-Fields"] = absl::StrJoin(names_, ", ");
  }

 private:
  bool strict_;
  std::vector<std::string> names_;
};

}  // namespace longspan
