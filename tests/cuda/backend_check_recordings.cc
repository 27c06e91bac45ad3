// The section "recordings": small passes that come again are recorded and repeated by one call of
// the device (core/models/layer_recordings.h). What is repeated has the bits of the pass of single
// operations, also where passes of other shapes, large ones and a second thread come between; and
// the latency of a short text, recorded and not.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/cuda/backend_check.h"

namespace longspan {
namespace {

using Clock = std::chrono::steady_clock;

// Of one shape. The ids differ by `seed`, and nothing else.
struct Pass {
  std::vector<int64_t> lengths;
  bool first_is_global = false;
  PoolingMode pooling = PoolingMode::kMean;

  std::vector<absl::StatusOr<EncodedText>> Run(const Encoder& encoder, uint32_t seed) const {
    TokenBatch batch;
    const std::vector<int32_t> first = {0}, none;
    for (const int64_t length : lengths) {
      const auto ids = DrawIds(length, encoder.info().vocab_size, seed++);
      batch.Add({.token_ids = ids, .global_positions = first_is_global ? first : none});
    }
    return encoder.Encode(batch, std::vector<EncodeOptions>(lengths.size(), {.pooling = pooling}));
  }
};

bool SameBits(const std::vector<absl::StatusOr<EncodedText>>& a,
              const std::vector<absl::StatusOr<EncodedText>>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.ok() && y.ok() && x->vector.size() == y->vector.size() &&
           std::memcmp(x->vector.data(), y->vector.data(), x->vector.size() * sizeof(float)) == 0;
  });
}

std::string FirstError(const std::vector<absl::StatusOr<EncodedText>>& results) {
  for (const auto& result : results) {
    if (!result.ok()) return result.status().ToString();
  }
  return "other bits";
}

std::vector<Pass> PassesOf(const Encoder& encoder, const CheckPlace& place) {
  const int64_t longest = encoder.info().CutToLongest(place.options.tiny ? 40 : 2000);
  std::vector<Pass> passes;
  for (const PoolingMode pooling : {PoolingMode::kMean, PoolingMode::kCls}) {
    for (const std::vector<int64_t>& lengths :
         std::vector<std::vector<int64_t>>{{2}, {12}, {longest}, {12, 1, longest / 2}}) {
      passes.push_back({lengths, false, pooling});
      if (encoder.info().supports_global_attention) passes.push_back({lengths, true, pooling});
    }
  }
  return passes;
}

void CheckBits(const CheckPlace& place, const std::string& what, const Encoder& encoder,
               CheckSection& section) {
  const std::vector<Pass> passes = PassesOf(encoder, place);
  std::vector<std::vector<absl::StatusOr<EncodedText>>> first;
  const int64_t before = encoder.recordings().repeated;
  for (const Pass& pass : passes) first.push_back(pass.Run(encoder, 1));
  for (const Pass& pass : passes) pass.Run(encoder, 100);  // is recorded
  const int64_t recorded = encoder.recordings().recorded;
  std::string wrong;
  const auto repeat = [&](bool backwards) {
    for (size_t i = 0; i < passes.size(); ++i) {
      const size_t n = backwards ? passes.size() - 1 - i : i;
      const auto again = passes[n].Run(encoder, 1);
      if (wrong.empty() && !SameBits(again, first[n]))
        wrong = absl::StrCat("pass ", n, ": ", FirstError(again));
    }
  };
  repeat(/*backwards=*/true);
  Pass{{encoder.info().CutToLongest(place.options.tiny ? 64 : 4096)}}.Run(encoder, 5);
  // Two threads, as in the server.
  std::thread other([&] {
    for (const Pass& pass : passes) pass.Run(encoder, 50);
  });
  repeat(/*backwards=*/false);
  other.join();
  section.Require(what + ", repeated passes have the bits of single operations", wrong.empty(),
                  wrong);
  const int64_t repeated = encoder.recordings().repeated - before;
  section.Require(what + ", all shapes are recorded",
                  recorded == static_cast<int64_t>(passes.size()) &&
                      repeated >= 3 * static_cast<int64_t>(passes.size()),
                  absl::StrCat(recorded, " of ", passes.size(), " recorded, ",
                               encoder.recordings().refused, " refused, ", repeated, " repeated"));
}

double Milliseconds(const Encoder& encoder, int64_t length) {
  const auto start = Clock::now();
  Pass{{length}}.Run(encoder, 1);
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void MeasureLatency(const CheckPlace& place, const std::string& what, const Encoder& encoder,
                    CheckSection& section) {
  const int64_t length = place.options.tiny ? 24 : 128;
  const int times = place.options.tiny ? 3 : 24;
  double single = Milliseconds(encoder, length + 1), repeated = INFINITY;
  // Shapes that come once: each is a length of its own.
  for (int i = 1; i < times; ++i) single = std::min(single, Milliseconds(encoder, length - i));
  for (int i = 0; i < times + 2; ++i) {
    const double once = Milliseconds(encoder, length);
    if (i >= 2) repeated = std::min(repeated, once);
  }
  section.Measured(
      absl::StrCat(what, ", one text of ", length),
      absl::StrFormat("best %.3f ms by single operations, %.3f ms repeated", single, repeated),
      {{"single_milliseconds", single}, {"repeated_milliseconds", repeated}});
}

}  // namespace

void CheckRecordings(const CheckPlace& place, CheckSection& section) {
  if (!place.backend->records()) return section.Skip("all", "this backend records nothing");
  for (const char* name :
       {"longformer-base", "minilm-l6", "modernbert-base", "bigbird-base", "led-base"}) {
    for (const DataType dtype : {DataType::kBFloat16, DataType::kFloat32}) {
      const std::string what = absl::StrCat(name, " ", NameOf(dtype));
      if (place.TimeIsOver()) return section.OutOfTime("from " + what + " on");
      const ModelScale scale = place.options.tiny ? ModelScale::kTiny : ModelScale::kShallow;
      const auto folder = FolderOf(place, MakeRandomModel(name, scale), scale);
      if (!folder.ok()) return section.Require(what, false, folder.status().ToString());
      const auto encoder = LoadOnDevice(place, *folder, dtype);
      if (!encoder.ok()) {
        section.Require(what, false, encoder.status().ToString());
        continue;
      }
      CheckBits(place, what, **encoder, section);
      if (dtype == DataType::kBFloat16) MeasureLatency(place, what, **encoder, section);
    }
  }
}

}  // namespace longspan
