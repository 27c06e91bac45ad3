#include "client/bulk/output_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/npy.h"

namespace longspan {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kNames[] = {"vectors.npy", "rows.jsonl", "spans.npy", "spans.jsonl",
                                  "rejects.jsonl"};
constexpr char kRun[] = "run.json";
constexpr char kCheckpoint[] = "checkpoint.json";

std::string LineOf(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::Status Unwritten(const std::string& path) {
  return absl::DataLossError(
      absl::StrCat(path, " cannot be written: ", std::generic_category().message(errno)));
}

// Where the two objects differ, by the names of their members.
std::vector<std::string> Differences(const Json& begun, const Json& now, const std::string& path) {
  if (begun == now) return {};
  if (!begun.is_object() || !now.is_object())
    return {absl::StrCat(path, ": ", begun.dump(), ", now ", now.dump())};
  std::vector<std::string> all;
  Json names = begun;
  names.update(now);
  for (const auto& [name, unused] : names.items()) {
    const auto of = [&name](const Json& json) { return json.contains(name) ? json[name] : Json(); };
    for (std::string& difference :
         Differences(of(begun), of(now), path.empty() ? name : absl::StrCat(path, ".", name)))
      all.push_back(std::move(difference));
  }
  return all;
}

Json ToJson(const OutputFolder::Checkpoint& at) {
  return {{"position",
           {{"file", at.position.file},
            {"offset", at.position.offset},
            {"line", at.position.line},
            {"records", at.position.records},
            {"checksum", at.position.checksum}}},
          {"rows", at.rows},
          {"span_rows", at.span_rows},
          {"rejects", at.rejects},
          {"tokens", at.tokens},
          {"done", at.done}};
}

OutputFolder::Checkpoint CheckpointOf(const nlohmann::json& json) {
  const nlohmann::json& position = json.at("position");
  return {.position = {.file = position.at("file"),
                       .offset = position.at("offset"),
                       .line = position.at("line"),
                       .records = position.at("records"),
                       .checksum = position.at("checksum")},
          .rows = json.at("rows"),
          .span_rows = json.at("span_rows"),
          .rejects = json.at("rejects"),
          .tokens = json.at("tokens"),
          .done = json.at("done")};
}

}  // namespace

absl::Status ReplaceFile(const std::string& path, const std::string& content) {
  const std::string next = path + ".next";
  {
    auto file = GrowingFile::Open(next, 0);
    if (!file.ok()) return file.status();
    (*file)->Append(content);
    if (absl::Status status = (*file)->Sync(); !status.ok()) return status;
  }
  if (std::rename(next.c_str(), path.c_str()) != 0) return Unwritten(path);
  // The name of a file stands on the disk once its folder does.
  const int folder = open(std::filesystem::path(path).parent_path().c_str(), O_RDONLY | O_CLOEXEC);
  if (folder >= 0) {
    fsync(folder);
    close(folder);
  }
  return absl::OkStatus();
}

absl::StatusOr<nlohmann::json> ReadJson(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat(path, " cannot be read"));
  std::stringstream content;
  content << file.rdbuf();
  nlohmann::json json = nlohmann::json::parse(content.str(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::DataLossError(absl::StrCat(path, " is no JSON object"));
  return json;
}

absl::StatusOr<std::unique_ptr<OutputFolder>> OutputFolder::Open(const std::string& path,
                                                                 const Json& run,
                                                                 const Format& format) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!std::filesystem::is_directory(path, error))
    return absl::DataLossError(absl::StrCat("the folder ", path, " cannot be made"));
  auto folder = std::unique_ptr<OutputFolder>(new OutputFolder(path, format));
  if (absl::Status status = folder->Lock(); !status.ok()) return status;
  if (absl::Status status = folder->CheckRun(run); !status.ok()) return status;
  if (absl::Status status = folder->OpenFiles(); !status.ok()) return status;
  return folder;
}

bool OutputFolder::IsBegun(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path + "/" + kRun, error);
}

OutputFolder::~OutputFolder() {
  if (lock_ >= 0) close(lock_);
}

absl::Status OutputFolder::Lock() {
  lock_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0) return Unwritten(path_);
  if (flock(lock_, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the folder ", path_, " is in use by another longspan bulk"));
}

absl::Status OutputFolder::CheckRun(const Json& run) {
  const auto begun = ReadJson(PathOf(kRun));
  if (begun.ok()) {
    const std::vector<std::string> differences = Differences(Json(*begun), run, "");
    if (differences.empty()) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        "the folder ", path_,
        " was begun by another run, so this one cannot go on "
        "in it: ",
        absl::StrJoin(differences, "; "), "; give another --out, or remove the folder"));
  }
  if (!absl::IsNotFound(begun.status())) return begun.status();
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    if (entry.path().filename() == std::string(kRun) + ".next") continue;
    return absl::FailedPreconditionError(
        absl::StrCat("the folder ", path_, " is not empty, and no run of longspan bulk (",
                     entry.path().filename().string(), "); give another --out"));
  }
  return ReplaceFile(PathOf(kRun), run.dump(2) + "\n");
}

absl::Status OutputFolder::OpenFiles() {
  const auto checkpoint = ReadJson(PathOf(kCheckpoint));
  if (!checkpoint.ok() && !absl::IsNotFound(checkpoint.status())) return checkpoint.status();
  if (checkpoint.ok()) {
    try {
      checkpoint_ = CheckpointOf(*checkpoint);
      for (int i = 0; i < kFiles; ++i) sizes_[i] = checkpoint->at("bytes").value(kNames[i], 0);
    } catch (const nlohmann::json::exception& error) {
      return absl::DataLossError(
          absl::StrCat(PathOf(kCheckpoint), " is no checkpoint: ", error.what()));
    }
  }
  for (int i = 0; i < kFiles; ++i) {
    if (!format_.has_spans && (i == kSpans || i == kSpanRows)) continue;
    auto file = GrowingFile::Open(PathOf(kNames[i]), sizes_[i]);
    if (!file.ok()) return file.status();
    files_[i] = *std::move(file);
  }
  return WriteHeads();
}

absl::Status OutputFolder::WriteHeads() {
  for (const auto& [file, rows] :
       {std::pair{kVectors, checkpoint_.rows}, std::pair{kSpans, checkpoint_.span_rows}}) {
    if (files_[file] == nullptr) continue;
    const std::string head = NpyHead(format_.type, static_cast<int64_t>(rows), format_.dimensions);
    if (files_[file]->size() == 0) {
      files_[file]->Append(head);
    } else {
      files_[file]->Overwrite(head);
    }
  }
  return absl::OkStatus();
}

std::string OutputFolder::Bytes(const v1::Vector& vector) const {
  if (vector.format() != v1::VECTOR_FORMAT_FLOAT32) return vector.data();
  // Processors that the client is built for are little-endian, as is the file.
  std::string bytes(vector.values_size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), vector.values().data(), bytes.size());
  return bytes;
}

absl::Status OutputFolder::Add(const Record& record, const v1::Encoding& encoding) {
  const auto check = [&](const v1::Vector& vector) -> absl::Status {
    if (vector.dimensions() == format_.dimensions) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("record ", record.number, " has a vector of ",
                                            vector.dimensions(),
                                            " values; expected: ", format_.dimensions));
  };
  if (absl::Status status = check(encoding.vector()); !status.ok()) return status;
  files_[kVectors]->Append(Bytes(encoding.vector()));
  files_[kRows]->Append(LineOf({{"row", checkpoint_.rows},
                                {"record", record.number},
                                {"id", record.id},
                                {"tokens", encoding.tokens_used()},
                                {"truncated", encoding.truncated()}}));
  for (const v1::SpanEncoding& span : encoding.spans()) {
    if (absl::Status status = check(span.vector()); !status.ok()) return status;
    const bool of_text = span.has_characters();
    const v1::Range& place = of_text ? span.characters() : span.tokens();
    files_[kSpans]->Append(Bytes(span.vector()));
    files_[kSpanRows]->Append(
        LineOf({{"row", checkpoint_.span_rows++},
                {"record", record.number},
                {"id", record.id},
                {of_text ? "characters" : "tokens", Json::array({place.begin(), place.end()})}}));
  }
  ++checkpoint_.rows;
  checkpoint_.tokens += encoding.tokens_used();
  checkpoint_.position = record.position;
  return absl::OkStatus();
}

absl::Status OutputFolder::Reject(const Record& record, const absl::Status& why) {
  files_[kRejects]->Append(LineOf({{"record", record.number},
                                   {"id", record.id},
                                   {"file", record.file},
                                   {"line", record.position.line},
                                   {"code", absl::StatusCodeToString(why.code())},
                                   {"message", std::string(why.message())}}));
  ++checkpoint_.rejects;
  checkpoint_.position = record.position;
  return absl::OkStatus();
}

absl::Status OutputFolder::Commit() {
  if (absl::Status status = WriteHeads(); !status.ok()) return status;
  Json json = ToJson(checkpoint_);
  json["dimensions"] = format_.dimensions;
  for (int i = 0; i < kFiles; ++i) {
    if (files_[i] == nullptr) continue;
    if (absl::Status status = files_[i]->Sync(); !status.ok()) return status;
    json["bytes"][kNames[i]] = files_[i]->size();
  }
  return ReplaceFile(PathOf(kCheckpoint), json.dump(2) + "\n");
}

absl::Status OutputFolder::Finish(const InputPosition& position) {
  checkpoint_.position = position;
  checkpoint_.done = true;
  return Commit();
}

}  // namespace longspan
