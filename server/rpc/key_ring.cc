#include "server/rpc/key_ring.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace longspan {
namespace {

constexpr size_t kMaxNameBytes = 64;

std::array<unsigned char, 32> HashOf(absl::string_view key) {
  static_assert(SHA256_DIGEST_LENGTH == 32);
  std::array<unsigned char, 32> hash{};
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), hash.data());
  return hash;
}

// A name goes into log lines as it is.
bool IsName(absl::string_view name) {
  return name.size() <= kMaxNameBytes && std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  absl::string_view("-_.@/").find(c) != absl::string_view::npos;
         });
}

std::vector<WatchedFiles::File> Watched(const std::string& path) {
  if (path.empty()) return {};
  return {{"auth-keys-file", path}};
}

}  // namespace

KeyRing::KeyRing(std::string path)
    : path_(std::move(path)),
      files_(Watched(path_), [this](const auto& contents) { return Take(contents.front()); }) {}

absl::StatusOr<KeyRing::Parsed> KeyRing::Parse(const std::string& content) {
  Parsed parsed;
  // Some editors begin a file with a byte order mark; it belongs to no key.
  const absl::string_view text = absl::StripPrefix(content, "\xEF\xBB\xBF");
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r\v\f"), absl::SkipEmpty());
    if (words.empty()) continue;
    parsed.any_line = true;
    if (words.front()[0] == '#') continue;
    if (words.size() > 2 || (words.size() == 2 && !IsName(words.front()))) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, " has ", words.size(),
                       " words; allowed: KEY, or NAME KEY with a name of at most ", kMaxNameBytes,
                       " letters, digits and - _ . @ /"));
    }
    const absl::string_view key = words.back();
    parsed.keys.push_back(
        {.hash = HashOf(key), .name = std::string(words.size() == 2 ? words.front() : "")});
    parsed.plain.emplace_back(key);
    parsed.unended = std::string(line.end() == text.end() ? key : "");
  }
  return parsed;
}

// A file may be seen when a part of it is written, for ever where whoever wrote it has died or the
// disk is full.
absl::Status KeyRing::CheckWhole(const Parsed& parsed) const {
  if (!parsed.any_line)
    return absl::InvalidArgumentError(
        "is empty; the keys before stay in force (a comment alone lets nobody in)");
  if (parsed.unended.empty()) return absl::OkStatus();
  const auto begins = [&](const std::string& whole) {
    return whole.size() > parsed.unended.size() && absl::StartsWith(whole, parsed.unended);
  };
  // A line may also be cut within a name, or behind it.
  const bool is_beginning =
      std::any_of(in_force_.plain.begin(), in_force_.plain.end(), begins) ||
      std::any_of(in_force_.keys.begin(), in_force_.keys.end(), [&](const Key& key) {
        return begins(key.name) || (!key.name.empty() && key.name == parsed.unended);
      });
  if (!is_beginning && !in_force_.unended.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "looks cut: its last line has no end; the keys before stay in force");
}

absl::Status KeyRing::Take(const std::string& content) {
  auto parsed = Parse(content);
  absl::Status status = parsed.status();
  if (status.ok() && loaded_) status = CheckWhole(*parsed);
  if (status.ok() && !loaded_ && parsed->keys.empty())
    status = absl::InvalidArgumentError("has no key; give a file with one key a line");
  if (!status.ok())
    return absl::InvalidArgumentError(
        absl::StrCat("auth-keys-file ", path_, " ", status.message()));
  loaded_ = true;
  in_force_ = *std::move(parsed);
  absl::MutexLock lock(&mu_);
  keys_ = in_force_.keys;
  return absl::OkStatus();
}

int64_t KeyRing::num_keys() const {
  absl::ReaderMutexLock lock(&mu_);
  return static_cast<int64_t>(keys_.size());
}

absl::Status KeyRing::Check(std::string_view authorization, std::string* name) const {
  if (files_.empty()) return absl::OkStatus();
  constexpr std::string_view kBearer = "Bearer ";
  if (authorization.substr(0, kBearer.size()) != kBearer) {
    return absl::UnauthenticatedError("no key was sent; allowed: header authorization: Bearer KEY");
  }
  const auto hash = HashOf(absl::string_view(authorization.data() + kBearer.size(),
                                             authorization.size() - kBearer.size()));
  absl::ReaderMutexLock lock(&mu_);
  const Key* found = nullptr;
  // All keys are looked at, whichever it is.
  for (const Key& key : keys_) {
    if (CRYPTO_memcmp(key.hash.data(), hash.data(), hash.size()) == 0) found = &key;
  }
  if (found == nullptr)
    return absl::UnauthenticatedError("the key is not known; allowed: a key of --auth-keys-file");
  if (name != nullptr) *name = found->name;
  return absl::OkStatus();
}

}  // namespace longspan
