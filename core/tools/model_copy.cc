#include "core/tools/model_copy.h"

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

// True for files of the transformer's folder that the tool writes anew, or that describe the old
// weights.
bool BelongsToWeights(const std::string& name) {
  return name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json") ||
         name.ends_with(".bin") || name.ends_with(".bin.index.json") || name == "config.json" ||
         name == "data_config.json";
}

// Whether `path` is `folder` or lies in it, links followed.
bool LiesIn(const fs::path& path, const fs::path& folder) {
  std::error_code error;
  const fs::path inner = fs::weakly_canonical(path, error);
  const fs::path outer = fs::weakly_canonical(folder, error);
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

absl::Status CopyFolder(const fs::path& from, const fs::path& to, const fs::path& transformer) {
  std::error_code error;
  fs::create_directories(to, error);
  if (error)
    return absl::InternalError(absl::StrCat("cannot create ", to.string(), ": ", error.message()));
  for (const fs::directory_entry& entry : fs::directory_iterator(from, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".")) continue;
    if (entry.is_directory(error)) {
      if (entry.is_symlink(error) && LiesIn(from, entry.path())) {
        return absl::InvalidArgumentError(absl::StrCat(
            entry.path().string(), ": is a link to a folder that it lies in; remove it"));
      }
      if (absl::Status status = CopyFolder(entry.path(), to / name, transformer); !status.ok())
        return status;
      continue;
    }
    if (from == transformer && BelongsToWeights(name)) continue;
    fs::copy_file(entry.path(), to / name, error);
    if (error)
      return absl::InternalError(
          absl::StrCat("cannot copy ", entry.path().string(), ": ", error.message()));
  }
  if (error)
    return absl::InternalError(absl::StrCat("cannot read ", from.string(), ": ", error.message()));
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckIsNewFolder(const std::string& output) {
  std::error_code error;
  if (!fs::exists(output, error) ||
      (fs::is_directory(output, error) && fs::is_empty(output, error)))
    return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(output, " is not empty; name a new folder"));
}

absl::StatusOr<fs::path> CopyAroundWeights(const ModelFolder& folder, const std::string& output) {
  const fs::path from(folder.path()), transformer(folder.transformer_path());
  if (LiesIn(output, from)) {
    return absl::InvalidArgumentError(
        absl::StrCat(output, ": lies in the model's folder; name one outside of it"));
  }
  if (absl::Status status = CopyFolder(from, output, transformer); !status.ok()) return status;
  const fs::path inside = transformer.lexically_relative(from);
  return inside == "." ? fs::path(output) : fs::path(output) / inside;
}

absl::Status WriteWeights(const std::string& path,
                          const std::map<std::string, StoredTensor>& tensors,
                          const std::vector<std::unique_ptr<SafetensorsReader>>& readers) {
  if (absl::Status status = WriteSafetensors(path, tensors, {{"format", "pt"}}); !status.ok())
    return status;
  for (const auto& reader : readers) {
    absl::Status status = reader->CheckUnchanged();
    if (status.ok()) continue;
    std::error_code ignored;
    fs::remove(path, ignored);
    return status;
  }
  return absl::OkStatus();
}

absl::Status WriteJsonFile(const fs::path& path, const nlohmann::json& value) {
  std::ofstream out(path);
  out << value.dump(2) << "\n";
  out.close();
  if (!out)
    return absl::InternalError(absl::StrCat("cannot write ", path.string(), ": is the disk full?"));
  return absl::OkStatus();
}

}  // namespace longspan
