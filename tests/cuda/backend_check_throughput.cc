// The section "throughput": tokens a second of each family by length and storage type, all layers,
// from ids on the host to vectors on the host; the latency of one short text; and one vector of
// each model in float32, which peers.py compares with transformers.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/cuda/backend_check.h"

namespace longspan {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kBatchTokens = 65536;  // of a batch; a longer text runs alone

struct Load {
  const char* model;
  DataType dtype;
  std::vector<int64_t> lengths;  // tokens of a text; 1 = the latency of one text of 128
};

// The figures that the goals name come first, then the same in other types.
std::vector<Load> Loads() {
  constexpr DataType kBf16 = DataType::kBFloat16, kF16 = DataType::kFloat16,
                     kF32 = DataType::kFloat32;
  return {{"longformer-base", kBf16, {4096, 524288, 16384, 65536, 512, 128, 1}},
          {"minilm-l6", kBf16, {128, 512, 1}},
          {"modernbert-base", kBf16, {8192, 1024, 128}},
          {"reformer-crime-and-punishment", kBf16, {524288, 65536, 16384, 4096}},
          {"roberta-base", kBf16, {512, 4096, 16384}},
          {"bigbird-base", kBf16, {4096, 1024}},
          {"led-base", kBf16, {4096, 16384}},
          {"longformer-base", kF32, {4096}},
          {"minilm-l6", kF32, {128}},
          {"modernbert-base", kF32, {8192}},
          {"reformer-crime-and-punishment", kF32, {65536}},
          {"roberta-base", kF32, {512}},
          {"bigbird-base", kF32, {4096}},
          {"led-base", kF32, {4096}},
          {"longformer-base", kF16, {4096}},
          {"minilm-l6", kF16, {128}},
          {"modernbert-base", kF16, {8192}}};
}

// What is measured: short and few in a dry run.
struct Effort {
  int64_t batch_tokens = kBatchTokens;
  int64_t longest = INT64_MAX;
  int64_t latency_tokens = 128;
  int64_t compared_tokens = 512;  // of the text whose vector peers.py compares
  int warm_up = 3, least = 5, most = 40;
  double seconds = 0.5;  // after which no further pass begins, once there are `least`
};
Effort EffortOf(const CheckPlace& place) {
  if (!place.options.tiny) return {};
  return {.batch_tokens = 128,
          .longest = 64,
          .latency_tokens = 16,
          .compared_tokens = 64,
          .warm_up = 1,
          .least = 2,
          .most = 2,
          .seconds = 0};
}

struct Batch {
  TokenBatch tokens;
  std::vector<EncodeOptions> options;
};

// `texts` random texts. All rows are pooled: with cls the last layer would skip most of them.
Batch MakeBatch(const ModelInfo& info, bool first_is_global, int64_t length, int64_t texts) {
  Batch batch;
  const std::vector<int32_t> first = {0}, none;
  for (int64_t text = 0; text < texts; ++text) {
    const auto ids = DrawIds(length, info.vocab_size, static_cast<uint32_t>(text + 1));
    batch.tokens.Add({.token_ids = ids, .global_positions = first_is_global ? first : none});
  }
  batch.options.assign(texts, {.pooling = PoolingMode::kMean, .normalize = false});
  return batch;
}

// Seconds of a pass, or why there is none.
absl::StatusOr<double> Pass(const Encoder& encoder, const Batch& batch) {
  const auto start = Clock::now();
  const auto results = encoder.Encode(batch.tokens, batch.options);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  for (const auto& result : results) {
    if (!result.ok()) return result.status();
  }
  return seconds;
}

// Ascending.
absl::StatusOr<std::vector<double>> Passes(const CheckPlace& place, const Encoder& encoder,
                                           const Batch& batch, const Effort& effort) {
  std::vector<double> seconds;
  double sum = 0;
  for (int pass = -effort.warm_up; pass < effort.most; ++pass) {
    const auto one = Pass(encoder, batch);
    if (!one.ok()) return one.status();
    // A pass that takes long needs no further warm-up and few repetitions.
    if (pass < 0) {
      if (*one > 1 && pass < -1) pass = -1;
      continue;
    }
    seconds.push_back(*one);
    sum += *one;
    const auto enough = static_cast<size_t>(*one > 1 ? 3 : effort.least);
    if ((seconds.size() >= enough && sum >= effort.seconds) || place.TimeIsOver()) break;
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

class Throughput {
 public:
  Throughput(const CheckPlace& place, const RandomModel& model, DataType dtype,
             const Encoder& encoder, CheckSection& section)
      : place_(place),
        model_(model),
        dtype_(dtype),
        encoder_(encoder),
        section_(section),
        effort_(EffortOf(place)) {}

  void Measure(int64_t length) const {
    const bool is_latency = length == 1;
    if (is_latency) length = effort_.latency_tokens;
    length = std::min(encoder_.info().CutToLongest(length), effort_.longest);
    const int64_t texts = is_latency ? 1 : std::max<int64_t>(1, effort_.batch_tokens / length);
    const std::string what = absl::StrCat(model_.name, " ", NameOf(dtype_), ", ", texts, " x ",
                                          length, is_latency ? ", latency" : "");
    if (place_.TimeIsOver()) return section_.OutOfTime(what);
    const Batch batch = MakeBatch(encoder_.info(), model_.first_is_global, length, texts);
    const auto seconds = Passes(place_, encoder_, batch, effort_);
    if (!seconds.ok()) return section_.Require(what, false, seconds.status().ToString());
    Row(what, length, texts, is_latency, *seconds);
  }

  // The vector of one text, for peers.py.
  void KeepVector() const {
    const int64_t length =
        std::min(encoder_.info().CutToLongest(effort_.compared_tokens), effort_.longest);
    const Batch batch = MakeBatch(encoder_.info(), model_.first_is_global, length, 1);
    const auto results = encoder_.Encode(batch.tokens, batch.options);
    const std::string what = absl::StrCat(model_.name, " float32, a vector of ", length, " tokens");
    if (!results[0].ok()) return section_.Require(what, false, results[0].status().ToString());
    section_.Measured(what, "kept for transformers",
                      {{"model", model_.name}, {"length", length}, {"vector", results[0]->vector}});
  }

 private:
  void Row(const std::string& what, int64_t length, int64_t texts, bool is_latency,
           const std::vector<double>& seconds) const {
    const double tokens = static_cast<double>(length * texts), median = seconds[seconds.size() / 2];
    const std::string line =
        is_latency
            ? absl::StrFormat("%.3f ms, best %.3f ms", median * 1e3, seconds[0] * 1e3)
            : absl::StrFormat("%.0f tokens/s, best %.0f", tokens / median, tokens / seconds[0]);
    section_.Measured(what, line,
                      {{"model", model_.name},
                       {"dtype", NameOf(dtype_)},
                       {"length", length},
                       {"texts", texts},
                       {"latency", is_latency},
                       {"passes", seconds.size()},
                       {"tokens_per_second", tokens / median},
                       {"best_tokens_per_second", tokens / seconds[0]},
                       {"milliseconds", median * 1e3}});
  }

  const CheckPlace& place_;
  const RandomModel& model_;
  const DataType dtype_;
  const Encoder& encoder_;
  CheckSection& section_;
  const Effort effort_;
};

}  // namespace

void MeasureThroughput(const CheckPlace& place, CheckSection& section) {
  const ModelScale scale = place.options.tiny ? ModelScale::kTiny : ModelScale::kBase;
  for (const Load& load : Loads()) {
    const std::string what = absl::StrCat(load.model, " ", NameOf(load.dtype));
    if (place.TimeIsOver()) return section.OutOfTime("from " + what + " on");
    const RandomModel model = MakeRandomModel(load.model, scale);
    const auto folder = FolderOf(place, model, scale);
    if (!folder.ok()) return section.Require(what, false, folder.status().ToString());
    const auto encoder = LoadOnDevice(place, *folder, load.dtype);
    if (encoder.status().code() == absl::StatusCode::kUnimplemented) {
      section.Skip(what, std::string(encoder.status().message()));
      continue;
    }
    if (!encoder.ok()) {
      section.Require(what, false, encoder.status().ToString());
      continue;
    }
    const Throughput throughput(place, model, load.dtype, **encoder, section);
    for (const int64_t length : load.lengths) throughput.Measure(length);
    if (load.dtype == DataType::kFloat32) throughput.KeepVector();
    place.backend->FreeUnused();
  }
}

}  // namespace longspan
