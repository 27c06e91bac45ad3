#include "server/start/model_fingerprint.h"

#include <openssl/evp.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <system_error>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr size_t kReadBytes = 1 << 20;

bool IsOfTheModel(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".json" || extension == ".safetensors" || extension == ".txt" ||
         extension == ".model";
}

// The model's files by their names in the folder.
absl::StatusOr<std::map<std::string, fs::path>> FilesOf(const std::string& folder) {
  std::map<std::string, fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    if (at->is_regular_file(error) && IsOfTheModel(at->path()))
      files.emplace(at->path().lexically_relative(folder).generic_string(), at->path());
  }
  if (error) return absl::InternalError(absl::StrCat(folder, " cannot be read: ", error.message()));
  return files;
}

}  // namespace

absl::StatusOr<std::string> ModelFingerprint(const std::string& folder) {
  const auto files = FilesOf(folder);
  if (!files.ok()) return files.status();
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> hash(EVP_MD_CTX_new(),
                                                                     EVP_MD_CTX_free);
  bool good = hash != nullptr && EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr) == 1;
  const auto add = [&](const void* data, size_t size) {
    good = good && EVP_DigestUpdate(hash.get(), data, size) == 1;
  };
  std::vector<char> part(kReadBytes);
  for (const auto& [name, path] : *files) {
    std::ifstream file(path, std::ios::binary);
    uint64_t bytes = 0;
    add(name.c_str(), name.size() + 1);
    while (file.read(part.data(), static_cast<std::streamsize>(part.size())) || file.gcount() > 0) {
      add(part.data(), static_cast<size_t>(file.gcount()));
      bytes += static_cast<uint64_t>(file.gcount());
    }
    if (!file.eof()) return absl::InternalError(absl::StrCat(path.string(), " cannot be read"));
    add(&bytes, sizeof(bytes));  // so that what one file ends with is not what the next begins with
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest = {};
  unsigned int size = 0;
  good = good && EVP_DigestFinal_ex(hash.get(), digest.data(), &size) == 1;
  if (!good) return absl::InternalError("OpenSSL cannot compute SHA-256");
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), size));
}

}  // namespace longspan
