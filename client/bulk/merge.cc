#include "client/bulk/merge.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/bulk/growing_file.h"
#include "client/bulk/output_folder.h"
#include "client/exit_code.h"
#include "client/npy.h"

namespace longspan {
namespace {

using Json = nlohmann::ordered_json;

std::string LineOf(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// The lines of a JSONL file, each of which names its record, in order.
class Lines {
 public:
  explicit Lines(const std::string& path) : path_(path), file_(path) { Advance(); }

  // The next line, where it is one of the record.
  std::optional<Json> Take(uint64_t record) {
    if (!next_.has_value() || next_->at("record") != record) return std::nullopt;
    Json line = *std::move(next_);
    Advance();
    return line;
  }
  bool at_end() const { return !next_.has_value(); }
  const absl::Status& status() const { return status_; }
  const std::string& path() const { return path_; }

 private:
  void Advance() {
    next_.reset();
    std::string line;
    if (!std::getline(file_, line)) return;
    Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object() && json.contains("record")) {
      next_ = std::move(json);
    } else {
      status_ = absl::DataLossError(absl::StrCat(path_, " has a line without a record"));
    }
  }

  const std::string path_;
  std::ifstream file_;
  std::optional<Json> next_;
  absl::Status status_;
};

// The rows of a matrix, one after the other.
class Matrix {
 public:
  Matrix(const std::string& path, size_t row_bytes)
      : file_(path, std::ios::binary), row_(row_bytes, '\0') {
    file_.seekg(kNpyHeadBytes);
  }
  // Empty where there are no more.
  std::string Next() {
    file_.read(row_.data(), static_cast<std::streamsize>(row_.size()));
    return file_ ? row_ : std::string();
  }

 private:
  std::ifstream file_;
  std::string row_;
};

// One folder that is read.
struct Shard {
  Shard(const std::string& path, size_t row_bytes)
      : rows(path + "/rows.jsonl"),
        spans(path + "/spans.jsonl"),
        rejects(path + "/rejects.jsonl"),
        vectors(path + "/vectors.npy", row_bytes),
        span_vectors(path + "/spans.npy", row_bytes) {}
  Lines rows, spans, rejects;
  Matrix vectors, span_vectors;
};

// What the folder was begun with, without its own number; and that number.
struct ShardRun {
  std::string path;
  Json run;
  uint64_t shard = 0, shards = 0;
  nlohmann::json checkpoint;
};

absl::StatusOr<ShardRun> ReadShardRun(const std::string& path) {
  const auto run = ReadJson(path + "/run.json");
  if (!run.ok()) return run.status();
  auto checkpoint = ReadJson(path + "/checkpoint.json");
  if (!checkpoint.ok() || !checkpoint->value("done", false))
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not done: run its longspan bulk again until it is"));
  ShardRun shard{.path = path, .run = Json(*run), .checkpoint = *std::move(checkpoint)};
  const std::vector<std::string> parts =
      absl::StrSplit(shard.run.value("shard", std::string()), '/');
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &shard.shard) ||
      !absl::SimpleAtoi(parts[1], &shard.shards))
    return absl::DataLossError(absl::StrCat(path, "/run.json has no shard"));
  shard.run["shard"] = "0/1";
  return shard;
}

// Each path that is a run's folder, and the runs' folders in each that is none.
absl::StatusOr<std::vector<std::string>> FindShards(const std::vector<std::string>& paths) {
  std::vector<std::string> all;
  for (const std::string& path : paths) {
    std::error_code error;
    std::filesystem::directory_iterator entry(path, error);
    if (error || OutputFolder::IsBegun(path)) {
      all.push_back(path);  // reading it says what is wrong with it
      continue;
    }
    const size_t before = all.size();
    for (; !error && entry != std::filesystem::end(entry); entry.increment(error))
      if (OutputFolder::IsBegun(entry->path().string())) all.push_back(entry->path().string());
    if (error) return absl::DataLossError(absl::StrCat(path, " cannot be read: ", error.message()));
    if (all.size() == before)
      return absl::FailedPreconditionError(
          absl::StrCat(path, " is no folder that longspan bulk wrote, and holds none"));
  }
  return all;
}

// All shards, in order.
absl::StatusOr<std::vector<ShardRun>> ReadShardRuns(const std::vector<std::string>& paths) {
  std::vector<ShardRun> all;
  const auto found = FindShards(paths);
  if (!found.ok()) return found.status();
  for (const std::string& path : *found) {
    auto shard = ReadShardRun(path);
    if (!shard.ok()) return shard.status();
    all.push_back(*std::move(shard));
  }
  std::sort(all.begin(), all.end(),
            [](const ShardRun& a, const ShardRun& b) { return a.shard < b.shard; });
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].run != all[0].run || all[i].checkpoint["position"] != all[0].checkpoint["position"])
      return absl::FailedPreconditionError(
          absl::StrCat(all[i].path, " and ", all[0].path, " are of different runs, or inputs"));
    if (all[i].shard != i || all[i].shards != all.size())
      return absl::FailedPreconditionError(absl::StrCat(all[i].path, " is shard ", all[i].shard,
                                                        " of ", all[i].shards, "; expected: ", i,
                                                        " of ", all.size(), ", each once"));
  }
  return all;
}

// The folder that is made.
class Merged {
 public:
  Merged(std::string path, std::string type, int64_t dimensions, bool has_spans)
      : path_(std::move(path)),
        type_(std::move(type)),
        dimensions_(dimensions),
        has_spans_(has_spans) {}

  absl::Status Open() {
    for (auto& [name, file] : files_) {
      if (!has_spans_ && absl::StartsWith(name, "spans")) continue;
      auto opened = GrowingFile::Open(absl::StrCat(path_, "/", name), 0);
      if (!opened.ok()) return opened.status();
      file = *std::move(opened);
      if (absl::EndsWith(name, ".npy")) file->Append(NpyHead(type_, 0, dimensions_));
    }
    return absl::OkStatus();
  }

  // Takes what came of the record out of its shard.
  absl::Status Take(uint64_t record, Shard* shard) {
    if (auto row = shard->rows.Take(record)) {
      if (absl::Status status =
              Copy(*std::move(row), shard->rows, &shard->vectors, kVectors, &rows_);
          !status.ok())
        return status;
    } else if (const auto reject = shard->rejects.Take(record)) {
      files_[kRejects].second->Append(LineOf(*reject));
      return absl::OkStatus();
    } else {
      return absl::DataLossError(absl::StrCat("record ", record, " is neither in ",
                                              shard->rows.path(), " nor in ",
                                              shard->rejects.path()));
    }
    while (auto span = has_spans_ ? shard->spans.Take(record) : std::nullopt)
      if (absl::Status status =
              Copy(*std::move(span), shard->spans, &shard->span_vectors, kSpans, &span_rows_);
          !status.ok())
        return status;
    return absl::OkStatus();
  }

  // Writes all out, with the checkpoint of a run that is done.
  absl::Status Finish(nlohmann::json checkpoint) {
    files_[kVectors].second->Overwrite(NpyHead(type_, rows_, dimensions_));
    if (has_spans_) files_[kSpans].second->Overwrite(NpyHead(type_, span_rows_, dimensions_));
    for (auto& [name, file] : files_) {
      if (file == nullptr) continue;
      if (absl::Status status = file->Sync(); !status.ok()) return status;
      checkpoint["bytes"][name] = file->size();
    }
    return ReplaceFile(path_ + "/checkpoint.json", checkpoint.dump(2) + "\n");
  }

 private:
  // Places in files_. Behind a matrix stand the lines of its rows.
  enum { kVectors = 0, kSpans = 2, kRejects = 4 };

  // Appends a line and its row to the matrix `to`, with the number that it has there.
  absl::Status Copy(Json line, const Lines& lines, Matrix* from, int to, int64_t* rows) {
    const std::string values = from->Next();
    if (values.empty())
      return absl::DataLossError(absl::StrCat(lines.path(), " has more lines than its matrix has ",
                                              "rows, from record ", line["record"].dump()));
    line["row"] = (*rows)++;
    files_[to].second->Append(values);
    files_[to + 1].second->Append(LineOf(line));
    return absl::OkStatus();
  }

  const std::string path_, type_;
  const int64_t dimensions_;
  const bool has_spans_;
  int64_t rows_ = 0, span_rows_ = 0;
  std::pair<std::string, std::unique_ptr<GrowingFile>> files_[5] = {
      {"vectors.npy", nullptr}, {"rows.jsonl", nullptr},    {"spans.npy", nullptr},
      {"spans.jsonl", nullptr}, {"rejects.jsonl", nullptr},
  };
};

nlohmann::json SumOf(const std::vector<ShardRun>& runs) {
  nlohmann::json sum = runs[0].checkpoint;
  for (const char* name : {"rows", "span_rows", "rejects", "tokens"}) {
    uint64_t total = 0;
    for (const ShardRun& run : runs) total += run.checkpoint.at(name).get<uint64_t>();
    sum[name] = total;
  }
  return sum;
}

absl::Status Merge(const std::vector<ShardRun>& runs, const std::string& out) {
  const std::string type = runs[0].run.at("type");
  const int64_t dimensions = runs[0].checkpoint.at("dimensions");
  const size_t row_bytes = static_cast<size_t>(dimensions) * (type == "float16" ? 2 : 4);
  const bool has_spans = runs[0].checkpoint.at("bytes").contains("spans.npy");
  std::vector<std::unique_ptr<Shard>> shards;
  shards.reserve(runs.size());
  for (const ShardRun& run : runs) shards.push_back(std::make_unique<Shard>(run.path, row_bytes));
  Merged merged(out, type == "float16" ? "<f2" : "<f4", dimensions, has_spans);
  if (absl::Status status = merged.Open(); !status.ok()) return status;
  const uint64_t records = runs[0].checkpoint.at("position").at("records");
  for (uint64_t record = 0; record < records; ++record)
    if (absl::Status status = merged.Take(record, shards[record % shards.size()].get());
        !status.ok())
      return status;
  for (const auto& shard : shards) {
    for (const Lines* lines : {&shard->rows, &shard->spans, &shard->rejects}) {
      if (!lines->status().ok()) return lines->status();
      if (!lines->at_end())
        return absl::DataLossError(
            absl::StrCat(lines->path(), " has lines of records that are not its own"));
    }
  }
  if (absl::Status status = ReplaceFile(out + "/run.json", runs[0].run.dump(2) + "\n");
      !status.ok())
    return status;
  return merged.Finish(SumOf(runs));
}

}  // namespace

absl::Status MergeShards(const MergeCommand& command) {
  std::error_code error;
  if (std::filesystem::exists(command.out, error))
    return absl::FailedPreconditionError(
        absl::StrCat(command.out, " exists; give an --out that does not"));
  // The name is that of a folder that is whole. What a merge left that was killed is no shard.
  const std::string part = command.out + ".part";
  std::filesystem::remove_all(part, error);
  const auto runs = ReadShardRuns(command.shards);
  if (!runs.ok()) return runs.status();
  std::filesystem::create_directories(part, error);
  if (error)
    return absl::DataLossError(
        absl::StrCat("the folder ", part, " cannot be made: ", error.message()));
  absl::Status status;
  try {
    status = Merge(*runs, part);
  } catch (const nlohmann::json::exception& wrong) {
    status =
        absl::DataLossError(absl::StrCat("a checkpoint or line is not what longspan bulk "
                                         "writes: ",
                                         wrong.what()));
  }
  if (status.ok()) {
    std::filesystem::rename(part, command.out, error);
    if (error)
      status = absl::DataLossError(absl::StrCat(command.out, " cannot be made: ", error.message()));
  }
  if (!status.ok()) std::filesystem::remove_all(part, error);
  return status;
}

int RunMerge(const MergeCommand& command) {
  if (const absl::Status status = MergeShards(command); !status.ok()) return Fail(kBadFile, status);
  std::printf("the records of all shards, each once, in %s\n", command.out.c_str());
  return kDone;
}

}  // namespace longspan
