#include "client/bulk/bulk.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "client/answer_writer.h"
#include "client/bulk/input_file.h"
#include "client/bulk/ordered_window.h"
#include "client/bulk/output_folder.h"
#include "client/bulk/progress.h"
#include "client/bulk/record_source.h"
#include "client/bulk/server_pool.h"
#include "client/encode_options.h"
#include "client/exit_code.h"
#include "client/steady_now.h"

namespace longspan {
namespace {

// What is read and not written may have so much: many short texts behind a long one, whose vectors
// wait for it, and few long ones.
constexpr OrderedWindow::Limits kWindow = {
    .records = 1 << 18, .text_bytes = 128 << 20, .answer_bytes = 256 << 20};
constexpr absl::Duration kLook = absl::Milliseconds(100);  // for a signal, and to draw

constexpr uint64_t kMaxAnswerBytes = 64 << 20;  // what the Client takes

constexpr int kSignalBase = 128;  // as shells count

// Interrupts a read that waits.
constexpr int kWakeSignal = SIGUSR1;

std::atomic<int> signal_received = 0;

bool ParseShard(const std::string& text, uint64_t* shard, uint64_t* shards) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  return parts.size() == 2 && absl::SimpleAtoi(parts[0], shard) &&
         absl::SimpleAtoi(parts[1], shards) && *shard < *shards;
}

v1::EncodeOptions WireOptions(const BulkCommand& command, const v1::GetModelInfoResponse& info) {
  v1::EncodeOptions options = OptionsOf(command.encode);
  // Where texts are cut, the place must be the same on all servers, and when the run goes on.
  if (options.truncation() > v1::TRUNCATION_REJECT && options.max_tokens() == 0)
    options.set_max_tokens(info.limits().max_tokens());
  options.set_vector_format(command.type == "float16" ? v1::VECTOR_FORMAT_FLOAT16
                                                      : v1::VECTOR_FORMAT_FLOAT32);
  options.set_max_answer_bytes(kMaxAnswerBytes);
  return options;
}

bool HasSpans(const v1::EncodeOptions& options) {
  return options.span_policy() != v1::SPAN_POLICY_UNSPECIFIED &&
         options.span_policy() != v1::SPAN_POLICY_NONE;
}

// All that the output depends on, but for the contents of the inputs.
nlohmann::ordered_json RunOf(const BulkCommand& command, const v1::EncodeOptions& options,
                             const v1::GetModelInfoResponse& info) {
  return {{"version", 1},
          {"files", command.files},
          {"shard", command.shard},
          {"fields", {command.id_field, command.text_field, command.path_field}},
          {"type", command.type},
          {"options", nlohmann::ordered_json::parse(JsonLine(options))},
          {"model", ModelIdentity(info)}};
}

// The servers answer no call, or refuse each.
int FailRun(const absl::Status& status) {
  const int code = FailCall(status);
  return code == kServerError ? kRefused : code;
}

// A run is not begun with inputs that are not there: their names would stand in its folder.
absl::Status CheckInputs(const std::vector<std::string>& files) {
  for (const std::string& file : files)
    if (file != "-" && access(file.c_str(), R_OK) != 0)
      return absl::NotFoundError(
          absl::StrCat(NameOfInput(file), " cannot be read: ", std::strerror(errno)));
  return absl::OkStatus();
}

// One run, once the folder is open.
class Run {
 public:
  Run(const BulkCommand& command, const v1::EncodeOptions& options, absl::Duration deadline,
      ServerPool* pool, RecordSource* source, OutputFolder* folder)
      : command_(command),
        options_(options),
        deadline_(deadline),
        pool_(pool),
        source_(source),
        folder_(folder),
        window_(kWindow),
        share_(source->share()) {}

  // Returns the exit code: kDone at the end of the inputs, else with a line on stderr.
  int Encode() {
    std::thread reader([this] { Read(); });
    std::vector<std::thread> threads;
    threads.reserve(command_.concurrency);
    for (int i = 0; i < command_.concurrency; ++i) threads.emplace_back([this] { Work(); });
    absl::Status written = Write();
    window_.Stop();
    pool_->Cancel();
    for (std::thread& thread : threads) thread.join();
    // It may wait for a pipe into which nothing is written.
    for (; !has_read_; absl::SleepFor(kLook)) pthread_kill(reader.native_handle(), kWakeSignal);
    reader.join();
    // What was encoded while the run ended stands in order behind what is written.
    has_next_ = !too_many_rejects_;
    while (written.ok() && has_next_) written = WriteNext(absl::ZeroDuration());
    const absl::MutexLock lock(&mu_);
    const bool at_end =
        signal_received == 0 && !too_many_rejects_ && input_error_.ok() && servers_error_.ok();
    if (written.ok()) written = at_end ? folder_->Finish(source_->position()) : folder_->Commit();
    if (!written.ok()) return Fail(kBadFile, written);
    if (const int number = signal_received; number != 0) {
      std::fprintf(stderr, "longspan: stopped by signal %d; the same command goes on from here\n",
                   number);
      return kSignalBase + number;
    }
    if (!servers_error_.ok()) return FailRun(servers_error_);
    if (!input_error_.ok()) return Fail(kBadFile, input_error_);
    return too_many_rejects_ ? kRefused : kDone;
  }

 private:
  void Read() {
    ReadAll();
    has_read_ = true;
  }

  void ReadAll() {
    while (true) {
      auto record = source_->Next();
      if (!record.ok()) {
        // What was read before the fault is encoded; the fault is told at the end.
        const absl::MutexLock lock(&mu_);
        input_error_ = record.status();
        break;
      }
      if (!record->has_value()) break;
      if (!window_.Put(**std::move(record))) return;
    }
    window_.Close();
  }

  void Work() {
    while (const auto job = window_.Take()) {
      const Record& record = *job->record;
      if (!record.error.ok()) {
        window_.Done(job->ticket, record.error);
        continue;
      }
      v1::EncodeRequest request;
      *request.mutable_options() = options_;
      v1::Input* input = request.add_inputs();
      input->set_text(record.text);
      ServerPool::Answer answer = pool_->Encode(request, deadline_);
      if (answer.concerns_all) {
        const absl::MutexLock lock(&mu_);
        if (servers_error_.ok() && !ends_) servers_error_ = answer.encoding.status();
        ends_ = true;
        return;
      }
      window_.Done(job->ticket, std::move(answer.encoding));
    }
  }

  // Writes results until the window is empty, the run is to end, or nothing can be written.
  absl::Status Write() {
    Progress progress(State());
    absl::Time committed = SteadyNow();
    while (!window_.is_empty_and_closed() && signal_received == 0 && !ends_) {
      if (absl::Status status = WriteNext(kLook); !status.ok()) return status;
      if (SteadyNow() - committed >= command_.checkpoint_every) {
        if (absl::Status status = folder_->Commit(); !status.ok()) return status;
        committed = SteadyNow();
      }
      progress.Draw(State());
    }
    progress.Finish(State());
    return absl::OkStatus();
  }

  absl::Status WriteNext(absl::Duration limit) {
    auto result = window_.Next(limit);
    has_next_ = result.has_value();
    if (!has_next_) return absl::OkStatus();
    share_ = result->record.share;
    if (result->encoding.ok()) return folder_->Add(result->record, *result->encoding);
    const auto rejects = static_cast<int64_t>(folder_->checkpoint().rejects);
    if (command_.max_rejects >= 0 && rejects >= command_.max_rejects) {
      Fail(kRefused,
           absl::Status(result->encoding.status().code(),
                        absl::StrCat("record ", result->record.number,
                                     " is rejected: ", result->encoding.status().message(),
                                     "; --max-rejects ", command_.max_rejects, " allows no more")));
      too_many_rejects_ = ends_ = true;
      has_next_ = false;
      return absl::OkStatus();
    }
    return folder_->Reject(result->record, result->encoding.status());
  }

  ProgressState State() {
    const OutputFolder::Checkpoint& at = folder_->checkpoint();
    return {.texts = at.rows, .rejects = at.rejects, .tokens = at.tokens, .share = share_};
  }

  const BulkCommand& command_;
  const v1::EncodeOptions options_;
  const absl::Duration deadline_;
  ServerPool* const pool_;
  RecordSource* const source_;  // of the thread that reads, until it has ended
  OutputFolder* const folder_;
  OrderedWindow window_;
  std::optional<double> share_;  // of the inputs that is written
  bool has_next_ = true;         // the last look found a result
  std::atomic<bool> has_read_ = false;
  bool too_many_rejects_ = false;
  std::atomic<bool> ends_ = false;  // before the end of the inputs
  absl::Mutex mu_;
  absl::Status input_error_ ABSL_GUARDED_BY(mu_);    // an input cannot be read to its end
  absl::Status servers_error_ ABSL_GUARDED_BY(mu_);  // the first one that concerns all records
};

int Summarize(const OutputFolder::Checkpoint& at, const std::string& out) {
  std::printf("%llu rows, %llu spans, %llu rejected, %llu tokens in %s\n",
              static_cast<unsigned long long>(at.rows),
              static_cast<unsigned long long>(at.span_rows),
              static_cast<unsigned long long>(at.rejects),
              static_cast<unsigned long long>(at.tokens), out.c_str());
  if (at.rejects == 0) return kDone;
  return Fail(kServerError,
              absl::InvalidArgumentError(absl::StrCat(at.rejects, " records have no vector; ", out,
                                                      "/rejects.jsonl says why")));
}

// A word with the options of the run: what is wrong with them is wrong for every text.
absl::Status TryOptions(ServerPool* pool, const v1::EncodeOptions& options, absl::Duration deadline,
                        int64_t* dimensions) {
  v1::EncodeRequest request;
  *request.mutable_options() = options;
  request.add_inputs()->set_text("longspan");
  const ServerPool::Answer answer = pool->Encode(request, deadline);
  if (!answer.encoding.ok()) return answer.encoding.status();
  *dimensions = answer.encoding->vector().dimensions();
  return absl::OkStatus();
}

void CatchSignals() {
  struct sigaction action = {};
  action.sa_handler = [](int number) { signal_received = number; };
  // A second one ends the program at once: nothing that was committed is lost.
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction wake = {};
  wake.sa_handler = [](int) {};
  sigaction(kWakeSignal, &wake, nullptr);
}

}  // namespace

std::string CheckShard(const std::string& text) {
  uint64_t shard = 0, shards = 0;
  if (ParseShard(text, &shard, &shards)) return "";
  return absl::StrCat("--shard is ", text, "; allowed: INDEX/NUMBER with 0 <= INDEX < NUMBER");
}

int RunBulk(const CommonOptions& common, const std::vector<std::string>& servers,
            const BulkCommand& command) {
  const auto pool = ServerPool::Connect(common.client, servers, common.deadline);
  if (!pool.ok()) {
    const bool of_file = absl::IsInvalidArgument(pool.status());
    return of_file ? Fail(kBadFile, pool.status()) : FailRun(pool.status());
  }
  const v1::GetModelInfoResponse& info = (*pool)->info();
  const v1::EncodeOptions options = WireOptions(command, info);
  OutputFolder::Format format{.type = command.type == "float16" ? "<f2" : "<f4",
                              .has_spans = HasSpans(options)};
  if (absl::Status status = TryOptions(pool->get(), options, common.deadline, &format.dimensions);
      !status.ok())
    return FailRun(status);
  if (!OutputFolder::IsBegun(command.out))
    if (absl::Status status = CheckInputs(command.files); !status.ok())
      return Fail(kBadFile, status);
  const auto folder = OutputFolder::Open(command.out, RunOf(command, options, info), format);
  if (!folder.ok()) return Fail(kBadFile, folder.status());
  if ((*folder)->checkpoint().done) return Summarize((*folder)->checkpoint(), command.out);
  RecordSource::Options inputs = {.files = command.files,
                                  .text_field = command.text_field,
                                  .path_field = command.path_field,
                                  .id_field = command.id_field,
                                  .max_text_bytes = info.limits().max_text_bytes()};
  ParseShard(command.shard, &inputs.shard, &inputs.shards);
  RecordSource source(inputs);
  if (absl::Status status = source.SkipTo((*folder)->checkpoint().position); !status.ok())
    return Fail(kBadFile, status);
  CatchSignals();
  const int code =
      Run(command, options, common.deadline, pool->get(), &source, folder->get()).Encode();
  return code == kDone ? Summarize((*folder)->checkpoint(), command.out) : code;
}

}  // namespace longspan
