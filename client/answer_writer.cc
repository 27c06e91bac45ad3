#include "client/answer_writer.h"

#include <google/protobuf/util/json_util.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/npy.h"
#include "client/summary.h"

namespace longspan {
namespace {

absl::Status Unwritten(const std::string& path) {
  return absl::DataLossError(
      absl::StrCat(path, " cannot be written: ", std::generic_category().message(errno)));
}

// stdout may be a pipe whose reader is gone.
absl::Status AfterPrinting() {
  return std::ferror(stdout) == 0 ? absl::OkStatus() : Unwritten("standard output");
}

class JsonlWriter final : public AnswerWriter {
 public:
  absl::Status Write(const v1::Encoding& encoding) override {
    std::printf("%s\n", JsonLine(encoding).c_str());
    return AfterPrinting();
  }
};

class TableWriter final : public AnswerWriter {
 public:
  TableWriter() {
    std::printf("%10s %9s %6s  %-36s %s\n", "tokens", "truncated", "spans", "vector", "id");
  }

  absl::Status Write(const v1::Encoding& encoding) override {
    std::printf("%10llu %9s %6d  %-36s %s\n",
                static_cast<unsigned long long>(encoding.tokens_used()),
                encoding.truncated() ? "yes" : "", encoding.spans_size(),
                VectorHead(encoding.vector(), kShownValues).c_str(),
                JoinLines(encoding.id(), std::string::npos).c_str());
    return AfterPrinting();
  }

 private:
  static constexpr int kShownValues = 3;
};

// A head, which is written again when the number of rows is known, and then the values.
class NpyWriter final : public AnswerWriter {
 public:
  explicit NpyWriter(std::string path)
      : path_(std::move(path)),
        ids_path_(std::filesystem::path(path_).replace_extension(".ids.jsonl").string()),
        values_(path_, std::ios::binary | std::ios::trunc),
        ids_(ids_path_, std::ios::trunc) {
    values_ << Head();
  }

  absl::Status Write(const v1::Encoding& encoding) override {
    if (encoding.has_vector()) Row(encoding.vector(), {{"id", encoding.id()}});
    for (const v1::SpanEncoding& span : encoding.spans()) {
      const bool of_text = span.has_characters();
      const v1::Range& place = of_text ? span.characters() : span.tokens();
      Row(span.vector(), {{"id", encoding.id()},
                          {of_text ? "characters" : "tokens", {place.begin(), place.end()}}});
    }
    return Check();
  }

  absl::Status Finish() override {
    values_.seekp(0);
    values_ << Head();
    values_.flush();
    ids_.flush();
    return Check();
  }

  absl::Status Check() const {
    if (!values_) return Unwritten(path_);
    return ids_ ? absl::OkStatus() : Unwritten(ids_path_);
  }

 private:
  std::string Head() const { return NpyHead("<f4", rows_, dimensions_); }

  void Row(const v1::Vector& vector, nlohmann::json what) {
    dimensions_ = vector.values_size();
    // Processors that the server and its client are built for are little-endian, as is the file.
    values_.write(reinterpret_cast<const char*>(vector.values().data()),
                  static_cast<std::streamsize>(vector.values_size() * sizeof(float)));
    what["row"] = rows_++;
    ids_ << what.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  }

  const std::string path_;
  const std::string ids_path_;
  std::ofstream values_;
  std::ofstream ids_;
  int64_t rows_ = 0;
  int64_t dimensions_ = 0;
};

}  // namespace

std::string JsonLine(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  // Without this, proto3 would leave out "truncated": false, which is an answer.
  options.always_print_primitive_fields = true;
  std::string json;
  return google::protobuf::util::MessageToJsonString(message, &json, options).ok() ? json : "";
}

absl::StatusOr<std::unique_ptr<AnswerWriter>> OpenAnswerWriter(const std::string& format,
                                                               const std::string& out) {
  if (format == "table") return std::make_unique<TableWriter>();
  if (format != "npy") return std::make_unique<JsonlWriter>();
  auto writer = std::make_unique<NpyWriter>(out);
  if (absl::Status status = writer->Check(); !status.ok()) return status;
  return writer;
}

}  // namespace longspan
