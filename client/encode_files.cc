#include "client/encode_files.h"

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/answer_writer.h"
#include "client/encode_options.h"
#include "client/exit_code.h"
#include "client/steady_now.h"
#include "client/text_source.h"

namespace longspan {
namespace {

// The work on all texts of one command.
class Files {
 public:
  Files(Client* client, const CommonOptions& common, const EncodeCommand& command,
        const TextSource::Options& source, AnswerWriter* writer)
      : client_(client),
        deadline_(common.deadline),
        options_(OptionsOf(command)),
        source_(source),
        writer_(writer) {}

  // A stream takes texts for as long as one call may take, and ends within twice that, so each text
  // has at least that time. The next stream goes on.
  int Run() {
    while (!source_.at_end() && unwritten_.ok()) {
      const absl::Time until = SteadyNow() + deadline_;
      const absl::Status status = client_->EncodeStream(
          options_, [&] { return Next(until); }, 2 * deadline_,
          [this](const v1::EncodeStreamResponse& response) { Take(response.encoding()); });
      if (!status.ok()) {
        writer_->Finish().IgnoreError();
        return FailCall(status);
      }
    }
    if (unwritten_.ok()) unwritten_ = writer_->Finish();
    if (!unwritten_.ok()) return Fail(kBadFile, unwritten_);
    if (refused_ > 0) return kServerError;
    if (source_.errors() > 0) return kBadFile;
    return taken_ > 0 ? kDone : Fail(kBadFile, absl::NotFoundError("there is no text to encode"));
  }

 private:
  // On the thread of EncodeStream that sends.
  std::optional<v1::Input> Next(absl::Time until) {
    if (stopped_ || SteadyNow() >= until) return std::nullopt;
    auto text = source_.Next();
    if (!text.has_value()) return std::nullopt;
    ++taken_;
    v1::Input input;
    input.set_id(IdOfPath(text->path));
    input.set_text(std::move(text->text));
    return input;
  }

  void Take(const v1::Encoding& encoding) {
    if (encoding.has_status()) {
      ++refused_;
      const google::rpc::Status& status = encoding.status();
      Fail(kServerError, absl::Status(static_cast<absl::StatusCode>(status.code()),
                                      absl::StrCat(encoding.id(), ": ", status.message())));
    } else if (unwritten_.ok()) {
      unwritten_ = writer_->Write(encoding);
      stopped_ = !unwritten_.ok();
    }
  }

  Client* const client_;
  const absl::Duration deadline_;
  const v1::EncodeOptions options_;
  TextSource source_;  // of the sending thread while a stream is open
  AnswerWriter* const writer_;
  int64_t taken_ = 0;       // texts that were read; of the sending thread while a stream is open
  int64_t refused_ = 0;     // texts that the server refused
  absl::Status unwritten_;  // why answers can no longer be written
  std::atomic<bool> stopped_ = false;
};

}  // namespace

int EncodeFiles(const CommonOptions& common, const EncodeCommand& command) {
  const auto client = Client::Connect(common.client);
  if (!client.ok()) return Fail(kBadFile, client.status());
  const auto info = (*client)->GetModelInfo(common.deadline);
  if (!info.ok()) return FailCall(info.status());
  const auto writer = OpenAnswerWriter(command.format, command.out);
  if (!writer.ok()) return Fail(kBadFile, writer.status());
  const TextSource::Options source = {
      .paths = command.files,
      .include = command.include,
      .max_bytes = static_cast<int64_t>(info->limits().max_text_bytes())};
  return Files(client->get(), common, command, source, writer->get()).Run();
}

}  // namespace longspan
