#include "client/bench.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "client/bench_tally.h"
#include "client/length_mix.h"
#include "client/steady_now.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

// The callers of the closed loop that measures the capacity. So many texts at once keep a queue
// before the server, so that it never waits for a text.
constexpr int kCapacityCallers = 32;
// The deadline of their requests. Each of them must be answered to count, also a whole book that
// waits behind the other texts.
constexpr absl::Duration kCapacityDeadline = absl::Minutes(10);

// What is sent, and to whom.
struct Target {
  std::vector<std::unique_ptr<Client>> clients;  // each with a connection of its own
  v1::GetModelInfoResponse model;
  LengthMix lengths;
  absl::Duration deadline;  // of one request

  int64_t max_tokens() const { return static_cast<int64_t>(model.limits().max_tokens()); }
};

// A request with one text of random words, of as many tokens as the mix says. A server without a
// tokenizer gets random ids instead.
v1::EncodeRequest RandomRequest(const Target& target, std::mt19937_64* random) {
  constexpr const char* kWords[] = {"the",   "court", "shall", "report", "a",  "long",  "river",
                                    "under", "seven", "and",   "paper",  "of", "night", "people"};
  const int64_t length = target.lengths.Draw(target.max_tokens(), random);
  v1::EncodeRequest request;
  v1::Input* input = request.add_inputs();
  if (target.model.has_tokenizer()) {
    // The words are so common that each is one token as a rule. Most tokenizers add two special
    // tokens to a text.
    const int64_t words = std::max<int64_t>(1, length - 2);
    std::string text;
    for (int64_t i = 0; i < words; ++i)
      text.append(kWords[(*random)() % std::size(kWords)]).append(" ");
    input->set_text(std::move(text));
  } else {
    // The first ids of a vocabulary are usually its special tokens, so they are left out.
    const uint64_t first = std::min<uint64_t>(5, target.model.vocab_size() - 1);
    for (int64_t i = 0; i < length; ++i) {
      input->mutable_token_ids()->add_ids(
          static_cast<uint32_t>(first + (*random)() % (target.model.vocab_size() - first)));
    }
  }
  return request;
}

// One request under way. It owns itself: the callback of its answer deletes it.
struct Shot {
  grpc::ClientContext context;
  v1::EncodeRequest request;
  v1::EncodeResponse response;
};

// Sends the request, which was due at `due`. When it is answered, `then` runs (where it is given),
// and then the answer is counted in `tally`.
void Fire(Client& client, v1::EncodeRequest request, absl::Duration deadline, absl::Time due,
          BenchTally* tally, std::function<void()> then) {
  auto shot = std::make_unique<Shot>();
  shot->request = std::move(request);
  client.Prepare(&shot->context, deadline);
  tally->Sent(due, SteadyNow());
  Shot* raw = shot.release();
  client.stub().async()->Encode(
      &raw->context, &raw->request, &raw->response,
      [raw, tally, due, then = std::move(then)](const grpc::Status& status) {
        std::unique_ptr<Shot> owned(raw);
        BenchTally::Answer answer{.status = FromGrpc(status), .due = due, .ended = SteadyNow()};
        if (status.ok() && owned->response.encodings_size() > 0) {
          answer.tokens = static_cast<int64_t>(owned->response.encodings(0).tokens_used());
          answer.timings = owned->response.timings();
        }
        // The context holds the channel. It must be gone before the last answer is counted, because
        // the caller of AwaitAll then closes the connections.
        owned.reset();
        // `then` may send the next request. It runs before the count, or AwaitAll could find all
        // requests answered in between.
        if (then) then();
        tally->Answered(answer);
      });
}

void PrintProgress(const BenchTally& tally, const char* what, double elapsed, double total) {
  static const bool is_terminal = isatty(STDERR_FILENO) == 1;
  if (!is_terminal) return;
  constexpr int kWidth = 30;
  const int done = std::clamp(static_cast<int>(kWidth * elapsed / total), 0, kWidth);
  const BenchTally::Progress progress = tally.progress();
  std::fprintf(stderr, "\r%s [%s%s] %5.1f / %.0f s  sent %lld  answered %lld  errors %lld ", what,
               std::string(done, '#').c_str(), std::string(kWidth - done, '.').c_str(), elapsed,
               total, static_cast<long long>(progress.sent),
               static_cast<long long>(progress.answered), static_cast<long long>(progress.errors));
  if (elapsed >= total) std::fputc('\n', stderr);
}

// The progress bar of one measurement.
class Progress {
 public:
  Progress(const BenchTally* tally, const char* what, absl::Time start, absl::Time end)
      : tally_(tally), what_(what), start_(start), end_(end) {}
  // Sleeps until `until`, and draws the bar anew once a second.
  void SleepUntil(absl::Time until) {
    for (absl::Time now = SteadyNow(); now < until; now = SteadyNow()) {
      if (now - shown_ >= absl::Seconds(1)) {
        shown_ = now;
        PrintProgress(*tally_, what_, absl::ToDoubleSeconds(now - start_),
                      absl::ToDoubleSeconds(end_ - start_));
      }
      absl::SleepFor(std::min(until - now, shown_ + absl::Seconds(1) - now));
    }
  }
  void Finish() {
    const double total = absl::ToDoubleSeconds(end_ - start_);
    PrintProgress(*tally_, what_, total, total);
  }

 private:
  const BenchTally* tally_;
  const char* what_;
  const absl::Time start_, end_;
  absl::Time shown_;
};

nlohmann::ordered_json OpenLoop(const Target& target, const BenchCommand& command, double rate) {
  const absl::Time start = SteadyNow();
  const absl::Time begin = start + absl::Seconds(command.warmup_seconds);
  const absl::Time end = begin + absl::Seconds(command.seconds);
  BenchTally tally(begin, end);
  Progress progress(&tally, "open loop", start, end);
  std::mt19937_64 random(command.seed);
  std::exponential_distribution<double> gap(rate);
  size_t turn = 0;
  for (absl::Time due = start + absl::Seconds(gap(random)); due < end;
       due += absl::Seconds(gap(random))) {
    // The text is made before it is due, so that making it does not delay it.
    v1::EncodeRequest request = RandomRequest(target, &random);
    progress.SleepUntil(due);
    Fire(*target.clients[turn++ % target.clients.size()], std::move(request), target.deadline, due,
         &tally, nullptr);
  }
  progress.SleepUntil(end);
  progress.Finish();
  tally.AwaitAll();
  return tally.Report();
}

// One caller of a closed loop. It must live until its last request is answered.
struct Caller {
  const Target* target;
  BenchTally* tally;
  Client* client;
  absl::Duration deadline;  // of one request
  absl::Time end;
  std::mt19937_64 random;

  void SendNext() {
    const absl::Time now = SteadyNow();
    if (now >= end) return;
    Fire(*client, RandomRequest(*target, &random), deadline, now, tally, [this] { SendNext(); });
  }
};

// Lets `concurrency` callers send until `end`. Returns when everything they sent is answered.
void RunCallers(const Target& target, absl::Duration deadline, uint64_t seed, int concurrency,
                absl::Time end, const char* what, BenchTally* tally) {
  const absl::Time start = SteadyNow();
  std::vector<std::unique_ptr<Caller>> callers;
  callers.reserve(concurrency);
  for (int i = 0; i < concurrency; ++i) {
    callers.push_back(std::make_unique<Caller>(
        Caller{&target, tally, target.clients[i % target.clients.size()].get(), deadline, end,
               std::mt19937_64(seed + static_cast<uint64_t>(i))}));
  }
  for (const auto& caller : callers) caller->SendNext();
  Progress progress(tally, what, start, end);
  progress.SleepUntil(end);
  progress.Finish();
  tally->AwaitAll();
}

nlohmann::ordered_json ClosedLoop(const Target& target, const BenchCommand& command) {
  const absl::Time begin = SteadyNow() + absl::Seconds(command.warmup_seconds);
  const absl::Time end = begin + absl::Seconds(command.seconds);
  BenchTally tally(begin, end);
  RunCallers(target, target.deadline, command.seed, command.concurrency, end, "closed loop",
             &tally);
  return tally.Report();
}

// What the server can do when it is always busy.
struct Capacity {
  double per_second;  // requests of this mix
  double tokens_per_second;
};

// Measures the capacity with a closed loop.
//
// The time counts from the first text sent to the last one answered. A window in between would
// count the short texts that are answered in it and miss the long ones that are still under way.
// Requests a second are the measured tokens a second over the mean length of the mix. The requests
// themselves are not counted, because a run holds few long texts: their share in it is left to
// chance.
absl::StatusOr<Capacity> MeasureCapacity(const Target& target, const BenchCommand& command) {
  const absl::Time start = SteadyNow();
  BenchTally tally(start, absl::InfiniteFuture());
  RunCallers(target, kCapacityDeadline, command.seed, kCapacityCallers,
             start + absl::Seconds(command.capacity_seconds), "capacity   ", &tally);
  const BenchTally::Totals totals = tally.totals();
  if (totals.good_tokens == 0) {
    return absl::UnavailableError(
        absl::StrCat("no request was answered while the capacity was measured: ",
                     nlohmann::json(totals.errors).dump()));
  }
  const double tokens_per_second =
      static_cast<double>(totals.good_tokens) / absl::ToDoubleSeconds(totals.last - start);
  return Capacity{tokens_per_second / target.lengths.Mean(target.max_tokens()), tokens_per_second};
}

absl::StatusOr<Target> Connect(const CommonOptions& common, const BenchCommand& command) {
  auto lengths = command.lengths.empty() ? LengthMix::OfProfile(command.profile)
                                         : LengthMix::Parse(command.lengths);
  if (!lengths.ok()) return lengths.status();
  Target target{.lengths = *std::move(lengths),
                .deadline = absl::Seconds(command.request_deadline_seconds)};
  ClientOptions options = common.client;
  // Waits for a server that is just starting.
  const auto first = Client::Connect(options);
  if (!first.ok()) return first.status();
  if (const auto model = (*first)->GetModelInfo(common.deadline); !model.ok())
    return model.status();
  options.retry = false;  // a retry would hide the refusal, and refusals are counted
  options.own_connection = true;
  for (int i = 0; i < command.connections; ++i) {
    auto client = Client::Connect(options);
    if (!client.ok()) return client.status();
    target.clients.push_back(*std::move(client));
    // Each client asks for the model, so that its connection stands before the first request.
    auto model = target.clients.back()->GetModelInfo(common.deadline);
    if (!model.ok()) return model.status();
    target.model = *std::move(model);
  }
  if (!target.model.has_tokenizer() && target.model.vocab_size() == 0)
    return absl::FailedPreconditionError(
        "the server has neither a tokenizer nor a vocabulary; bench can make no text for it");
  return target;
}

}  // namespace

absl::StatusOr<std::string> RunBench(const CommonOptions& common, const BenchCommand& command) {
  const absl::StatusOr<Target> target = Connect(common, command);
  if (!target.ok()) return target.status();
  nlohmann::ordered_json report = {{"mode", command.concurrency > 0 ? "closed" : "open"}};
  report[command.lengths.empty() ? "profile" : "lengths"] =
      command.lengths.empty() ? command.profile : command.lengths;
  nlohmann::ordered_json result;
  if (command.concurrency > 0) {
    report["concurrency"] = command.concurrency;
    result = ClosedLoop(*target, command);
  } else {
    double rate = command.rate;
    if (command.load > 0) {
      const absl::StatusOr<Capacity> capacity = MeasureCapacity(*target, command);
      if (!capacity.ok()) return capacity.status();
      rate = command.load * capacity->per_second;
      report["load"] = command.load;
      report["capacity_per_second"] = capacity->per_second;
      report["capacity_tokens_per_second"] = capacity->tokens_per_second;
    }
    report["offered_per_second"] = rate;
    result = OpenLoop(*target, command, rate);
  }
  report["request_deadline_seconds"] = command.request_deadline_seconds;
  report.update(result);
  return report.dump(2);
}

}  // namespace longspan
