#include "client/bulk/record_source.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/text_file.h"

namespace longspan {
namespace {

constexpr size_t kBlockBytes = 1 << 18;
// In JSON a byte of a text has at most six ("\u0001"), and beside the text there may be other
// fields.
constexpr size_t kMostBytesOfAByte = 6;
constexpr size_t kOtherFieldBytes = 1 << 20;
constexpr size_t kMaxIdBytes = 1024;

bool IsBlank(const std::string& line) {
  return line.find_first_not_of(" \t\r") == std::string::npos;
}

absl::Status TooLong(const std::string& what, uint64_t bytes, uint64_t allowed) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, " has ", bytes, " bytes; the server takes texts of up to ", allowed));
}

}  // namespace

RecordSource::RecordSource(const Options& options) : options_(options) {
  for (const std::string& file : options_.files) {
    std::error_code error;
    const uint64_t bytes = file == "-" ? 0 : std::filesystem::file_size(file, error);
    sizes_known_ = sizes_known_ && file != "-" && !error;
    sizes_.push_back(sizes_known_ ? bytes : 0);
  }
}

size_t RecordSource::max_line_bytes() const {
  return options_.max_text_bytes == 0
             ? SIZE_MAX
             : kMostBytesOfAByte * options_.max_text_bytes + kOtherFieldBytes;
}

std::optional<double> RecordSource::share() const {
  uint64_t all = 0, read = 0;
  for (size_t i = 0; i < sizes_.size(); ++i) {
    all += sizes_[i];
    if (i < position_.file) read += sizes_[i];
  }
  if (!sizes_known_ || all == 0) return std::nullopt;
  if (file_ != nullptr) read += file_->position();
  return std::min(1.0, static_cast<double>(read) / static_cast<double>(all));
}

absl::StatusOr<bool> RecordSource::Fill() {
  if (file_ == nullptr) {
    auto file = InputFile::Open(options_.files[position_.file]);
    if (!file.ok()) return file.status();
    file_ = *std::move(file);
  }
  buffer_.erase(0, begin_);
  begin_ = 0;
  const size_t held = buffer_.size();
  buffer_.resize(held + kBlockBytes);
  const auto bytes = file_->Read(buffer_.data() + held, kBlockBytes);
  buffer_.resize(held + (bytes.ok() ? *bytes : 0));
  if (!bytes.ok()) return bytes.status();
  return *bytes > 0;
}

void RecordSource::Consume(size_t end) {
  position_.checksum = static_cast<uint32_t>(crc32_z(
      position_.checksum, reinterpret_cast<const Bytef*>(buffer_.data() + begin_), end - begin_));
  position_.offset += end - begin_;
  begin_ = end;
}

absl::StatusOr<bool> RecordSource::NextLine() {
  line_.clear();
  too_long_ = false;
  bool has_begun = false;
  while (position_.file < options_.files.size()) {
    const size_t end = buffer_.find('\n', begin_);
    const size_t upto = end == std::string::npos ? buffer_.size() : end;
    if (upto > begin_) has_begun = true;
    const size_t room = max_line_bytes() - std::min(max_line_bytes(), line_.size());
    too_long_ = too_long_ || upto - begin_ > room;
    line_.append(buffer_, begin_, std::min(upto - begin_, room));
    Consume(end == std::string::npos ? upto : end + 1);
    if (end != std::string::npos) break;
    const auto more = Fill();
    if (!more.ok()) return more.status();
    if (*more) continue;
    if (has_begun) break;  // the last line has no end
    file_ = nullptr;
    ++position_.file;
    position_.offset = position_.line = 0;
  }
  if (position_.file == options_.files.size()) return false;
  ++position_.line;
  return true;
}

absl::StatusOr<std::optional<Record>> RecordSource::Next() {
  while (true) {
    const auto more = NextLine();
    if (!more.ok()) return more.status();
    if (!*more) return std::nullopt;
    if (IsBlank(line_)) continue;
    const uint64_t number = position_.records++;
    if (number % options_.shards == options_.shard) return Parse();
  }
}

absl::Status RecordSource::SkipTo(const InputPosition& position) {
  const auto changed = [](const std::string& what) {
    return absl::DataLossError(
        absl::StrCat("the inputs are not those that this folder was begun with: ", what));
  };
  while (position_.file < position.file || position_.offset < position.offset) {
    if (position_.file == options_.files.size() || position_.file > position.file)
      return changed("they end before the place where the run stopped");
    // The end of the last file is no line.
    const auto more = NextLine();
    if (!more.ok()) return more.status();
    if (*more && !IsBlank(line_)) ++position_.records;
  }
  if (position_.file != position.file || position_.offset != position.offset ||
      position_.records != position.records || position_.checksum != position.checksum)
    return changed(absl::StrCat("they differ before record ", position.records));
  return absl::OkStatus();
}

Record RecordSource::Parse() const {
  Record record;
  record.number = position_.records - 1;
  record.id = absl::StrCat(record.number);
  record.file = options_.files[position_.file];
  record.position = position_;
  record.share = share();
  const auto fail = [&record](const absl::Status& error) {
    record.error = error;
    return record;
  };
  if (too_long_)
    return fail(absl::InvalidArgumentError(absl::StrCat("the line has more than ", max_line_bytes(),
                                                        " bytes; the server takes texts of up to ",
                                                        options_.max_text_bytes)));
  nlohmann::json line = nlohmann::json::parse(line_, nullptr, /*allow_exceptions=*/false);
  if (!line.is_object())
    return fail(absl::InvalidArgumentError(
        line.is_discarded() ? "the line is not JSON in UTF-8" : "the line is JSON, but no object"));
  if (const auto id = line.find(options_.id_field); id != line.end() && !id->is_null()) {
    if (!id->is_string() && !id->is_number_integer())
      return fail(
          absl::InvalidArgumentError(absl::StrCat(options_.id_field, " is a ", id->type_name(),
                                                  "; a string or a whole number is allowed")));
    record.id = id->is_string() ? id->get<std::string>() : id->dump();
    if (record.id.size() > kMaxIdBytes)
      return fail(absl::InvalidArgumentError(absl::StrCat(
          options_.id_field, " has ", record.id.size(), " bytes; allowed: ", kMaxIdBytes)));
  }
  const auto text = line.find(options_.text_field), path = line.find(options_.path_field);
  const bool has_text = text != line.end() && !text->is_null();
  const bool has_path = path != line.end() && !path->is_null();
  if (has_text == has_path)
    return fail(absl::InvalidArgumentError(
        absl::StrCat("the line has ", has_text ? "both " : "", options_.text_field,
                     has_text ? " and " : " nor ", options_.path_field, "; one is needed")));
  const auto& given = has_text ? *text : *path;
  if (!given.is_string())
    return fail(absl::InvalidArgumentError(
        absl::StrCat(has_text ? options_.text_field : options_.path_field, " is a ",
                     given.type_name(), "; a string is allowed")));
  if (has_text) {
    record.text = given.get<std::string>();
    if (options_.max_text_bytes > 0 && record.text.size() > options_.max_text_bytes)
      return fail(TooLong("the text", record.text.size(), options_.max_text_bytes));
  } else {
    ReadText(given.get<std::string>(), &record);
  }
  return record;
}

void RecordSource::ReadText(const std::string& path, Record* record) const {
  const std::filesystem::path folder =
      record->file == "-" ? std::filesystem::path() : std::filesystem::path(record->file);
  const std::string whole = (folder.parent_path() / path).string();
  std::error_code error;
  const uint64_t bytes = std::filesystem::file_size(whole, error);
  if (!error && options_.max_text_bytes > 0 && bytes > options_.max_text_bytes) {
    record->error = TooLong(whole, bytes, options_.max_text_bytes);
    return;
  }
  // "-" would be standard input, which is read by others.
  auto text = ReadTextFile(path == "-" ? "./-" : whole);
  if (text.ok()) {
    record->text = *std::move(text);
  } else {
    record->error = text.status();
  }
}

}  // namespace longspan
