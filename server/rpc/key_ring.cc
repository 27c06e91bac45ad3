#include "server/rpc/key_ring.h"

#include <openssl/crypto.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace longspan {
namespace {

// How often the file is looked at for a change, at most: a look is a system call, and calls may
// come by the thousand a second.
constexpr std::chrono::seconds kLookEvery(1);

// Takes the same time wherever the keys differ, so that the time of an answer tells nothing of a
// key.
bool SameKey(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

absl::Status KeyRing::Load() {
  if (!required()) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  return ReadLocked();
}

absl::Status KeyRing::ReadLocked() {
  std::ifstream file(path_);
  std::vector<std::string> keys;
  if (!file) {
    return absl::InvalidArgumentError(
        absl::StrCat("auth-keys-file ", path_, " cannot be read: ", std::strerror(errno)));
  }
  for (std::string line; std::getline(file, line);) {
    // Some editors begin a file with a byte order mark; it belongs to no key.
    if (keys.empty()) line = std::string(absl::StripPrefix(line, "\xEF\xBB\xBF"));
    const std::string key(absl::StripAsciiWhitespace(line));
    if (!key.empty() && key[0] != '#') keys.push_back(key);
  }
  if (keys.empty())
    return absl::InvalidArgumentError(
        absl::StrCat("auth-keys-file ", path_, " has no key; give a file with one key a line"));
  std::error_code ignored;
  changed_ = std::filesystem::last_write_time(path_, ignored);
  keys_ = std::move(keys);
  return absl::OkStatus();
}

void KeyRing::RefreshLocked() {
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_ < kLookEvery) return;
  looked_ = now;
  std::error_code error;
  const auto changed = std::filesystem::last_write_time(path_, error);
  // A file that is empty in the middle of a change is an error here, and the old keys stay in
  // force.
  if (!error && changed != changed_) ReadLocked().IgnoreError();
}

absl::Status KeyRing::Check(std::string_view authorization) {
  if (!required()) return absl::OkStatus();
  constexpr std::string_view kBearer = "Bearer ";
  if (authorization.substr(0, kBearer.size()) != kBearer) {
    return absl::UnauthenticatedError("no key was sent; allowed: header authorization: Bearer KEY");
  }
  const std::string_view key = authorization.substr(kBearer.size());
  absl::MutexLock lock(&mu_);
  RefreshLocked();
  bool known = false;
  for (const std::string& candidate : keys_) known |= SameKey(candidate, key);
  return known ? absl::OkStatus()
               : absl::UnauthenticatedError(
                     "the key is not known; allowed: a key of --auth-keys-file");
}

}  // namespace longspan
