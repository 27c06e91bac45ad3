#include "client/bench.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

constexpr int64_t kClassBounds[] = {128, 512, 4096, 32768, INT64_MAX};

// Log-normal: most texts near the median, a tail that is long but not endless.
struct LengthShape {
  double share, median, sigma;
};
std::vector<LengthShape> ShapesOf(const std::string& profile) {
  if (profile == "chat") return {{1, 40, 0.8}};
  if (profile == "contracts") return {{1, 6000, 0.8}};
  if (profile == "books") return {{1, 40000, 0.7}};
  return {{0.95, 180, 0.6}, {0.05, 3000, 0.6}};  // rag
}

double Percentile(std::vector<double> sorted, double p) {
  if (sorted.empty()) return 0;
  return sorted[std::min(sorted.size() - 1, static_cast<size_t>(p * static_cast<double>(sorted.size())))];
}

// What came of all requests so far. Thread safe.
class Tally {
 public:
  void Sent() {
    absl::MutexLock lock(&mu_);
    ++sent_;
  }
  void Answered(const absl::Status& status, int64_t tokens, absl::Duration latency) {
    absl::MutexLock lock(&mu_);
    ++answered_;
    if (!status.ok()) {
      ++errors_[absl::StatusCodeToString(status.code())];
      return;
    }
    tokens_ += tokens;
    for (size_t c = 0; c < std::size(kClassBounds); ++c) {
      if (tokens > kClassBounds[c]) continue;
      latencies_[c].push_back(absl::ToDoubleMilliseconds(latency));
      return;
    }
  }
  void AwaitAll() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](Tally* self) { return self->answered_ == self->sent_; }, this));
  }
  void PrintProgress(double elapsed, double total) {
    absl::MutexLock lock(&mu_);
    std::fprintf(stderr, "\r%5.1f / %.0f s  sent %lld  answered %lld ", elapsed, total, static_cast<long long>(sent_),
                 static_cast<long long>(answered_));
  }
  nlohmann::ordered_json Report(const BenchCommand& command, double wall) {
    absl::MutexLock lock(&mu_);
    int64_t good = 0;
    nlohmann::ordered_json classes = nlohmann::ordered_json::array();
    for (size_t c = 0; c < std::size(kClassBounds); ++c) {
      std::vector<double>& values = latencies_[c];
      if (values.empty()) continue;
      std::sort(values.begin(), values.end());
      good += static_cast<int64_t>(values.size());
      nlohmann::ordered_json row = {
          {"tokens_up_to", kClassBounds[c] == INT64_MAX ? nlohmann::ordered_json() : nlohmann::ordered_json(kClassBounds[c])},
          {"answers", values.size()},
          {"p50_ms", Percentile(values, 0.5)},
          {"p95_ms", Percentile(values, 0.95)},
          {"p99_ms", Percentile(values, 0.99)}};
      classes.push_back(std::move(row));
    }
    return {{"profile", command.profile},
            {"offered_per_second", command.rate},
            {"seconds", wall},
            {"requests", sent_},
            {"good", good},
            {"goodput_per_second", static_cast<double>(good) / wall},
            {"tokens_per_second", static_cast<double>(tokens_) / wall},
            {"errors", errors_},
            {"classes", classes}};
  }

 private:
  absl::Mutex mu_;
  int64_t sent_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t answered_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t tokens_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, int64_t> errors_ ABSL_GUARDED_BY(mu_);
  std::vector<double> latencies_[std::size(kClassBounds)] ABSL_GUARDED_BY(mu_);
};

// One request under way; frees itself when it is answered.
struct Shot {
  grpc::ClientContext context;
  v1::EncodeRequest request;
  v1::EncodeResponse response;
};

v1::EncodeRequest RandomRequest(int64_t length, const v1::GetModelInfoResponse& info, std::mt19937_64* random) {
  constexpr const char* kWords[] = {"the",   "court", "shall", "report", "a",  "long",  "river",
                                    "under", "seven", "and",   "paper",  "of", "night", "people"};
  v1::EncodeRequest request;
  v1::Input* input = request.add_inputs();
  if (info.has_tokenizer()) {
    std::string text;
    for (int64_t i = 0; i < std::max<int64_t>(1, length - 2); ++i)
      text.append(kWords[(*random)() % std::size(kWords)]).append(" ");
    input->set_text(std::move(text));
  } else {
    const uint64_t first = std::min<uint64_t>(5, info.vocab_size() - 1);
    for (int64_t i = 0; i < length; ++i) {
      input->mutable_token_ids()->add_ids(static_cast<uint32_t>(first + (*random)() % (info.vocab_size() - first)));
    }
  }
  return request;
}

void Fire(Client* client, v1::EncodeRequest request, double deadline_seconds, Tally* tally) {
  auto shot = std::make_unique<Shot>();
  shot->request = std::move(request);
  client->Prepare(&shot->context, absl::Seconds(deadline_seconds));
  tally->Sent();
  Shot* raw = shot.release();
  client->stub().async()->Encode(
      &raw->context, &raw->request, &raw->response, [raw, tally, start = absl::Now()](grpc::Status status) {
        const std::unique_ptr<Shot> owned(raw);
        const int64_t tokens = status.ok() ? static_cast<int64_t>(owned->response.encodings(0).tokens_used()) : 0;
        tally->Answered(FromGrpc(status), tokens, absl::Now() - start);
      });
}

}  // namespace

int64_t DrawLength(const std::string& profile, int64_t max_tokens, std::mt19937_64* random) {
  double pick = std::uniform_real_distribution<double>(0, 1)(*random);
  const std::vector<LengthShape> shapes = ShapesOf(profile);
  const LengthShape* shape = &shapes.back();
  for (const LengthShape& candidate : shapes) {
    if (pick < candidate.share) {
      shape = &candidate;
      break;
    }
    pick -= candidate.share;
  }
  const double length = std::lognormal_distribution<double>(std::log(shape->median), shape->sigma)(*random);
  const int64_t bound = max_tokens > 0 ? max_tokens : INT64_MAX;
  return std::clamp<int64_t>(static_cast<int64_t>(length), 1, bound);
}

absl::StatusOr<std::string> RunBench(const CommonOptions& common, const BenchCommand& command) {
  ClientOptions options = common.client;
  options.retry = false;  // a retry would hide the refusal that is to be counted
  const auto client = Client::Connect(options);
  if (!client.ok()) return client.status();
  const auto info = (*client)->GetModelInfo(common.deadline);
  if (!info.ok()) return info.status();
  std::mt19937_64 random(command.seed);
  std::exponential_distribution<double> gap(command.rate);
  Tally tally;
  const absl::Time start = absl::Now();
  absl::Time next = start, shown = start;
  while (next < start + absl::Seconds(command.seconds)) {
    absl::SleepFor(next - absl::Now());
    const int64_t length = DrawLength(command.profile, static_cast<int64_t>(info->limits().max_tokens()), &random);
    Fire(client->get(), RandomRequest(length, *info, &random), command.request_deadline_seconds, &tally);
    next += absl::Seconds(gap(random));
    if (absl::Now() - shown < absl::Seconds(1)) continue;
    shown = absl::Now();
    tally.PrintProgress(absl::ToDoubleSeconds(shown - start), command.seconds);
  }
  tally.AwaitAll();
  std::fprintf(stderr, "\n");
  return tally.Report(command, absl::ToDoubleSeconds(absl::Now() - start)).dump(2);
}

}  // namespace longspan
