// The section "memory": 200 batches of mixed lengths, globals and poolings. The second hundred are
// the first hundred again, so what is taken more after it than before it has leaked.
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/runtime/memory.h"
#include "tests/cuda/backend_check.h"
#include "tests/cuda/cuda_driver.h"

namespace longspan {
namespace {

constexpr int64_t kMebibyte = 1 << 20;
// What the host may grow by; a card by two in a hundred of what is taken more, since its allocator
// keeps blocks of many sizes.
constexpr double kBoundMib = 64, kShareOfCard = 0.02;

struct MixedBatch {
  TokenBatch tokens;
  std::vector<EncodeOptions> options;
};

MixedBatch DrawBatch(const ModelInfo& info, int64_t most_tokens, std::mt19937& random) {
  const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % n); };
  const int64_t tokens = 1 + below(most_tokens);
  const int64_t longest = std::max<int64_t>(1, most_tokens >> below(8));
  MixedBatch batch;
  do {
    const auto ids = DrawIds(1 + below(longest), info.vocab_size, static_cast<uint32_t>(random()));
    std::vector<int32_t> globals;
    if (below(2) == 0) globals.push_back(0);
    batch.tokens.Add({.token_ids = ids, .global_positions = globals});
    batch.options.push_back({.pooling = below(2) == 0 ? PoolingMode::kMean : PoolingMode::kCls});
  } while (batch.tokens.num_tokens() < tokens);
  return batch;
}

struct Taken {
  std::optional<int64_t> device;
  int64_t host = 0;
};

class MemoryRun {
 public:
  MemoryRun(const CheckPlace& place, const Encoder& encoder, CheckSection& section)
      : place_(place),
        encoder_(encoder),
        section_(section),
        driver_(CardOf(place.options.device)),
        batches_(place.options.tiny ? 10 : 100),
        most_tokens_(place.options.tiny ? 200 : 65536) {}

  void Run() {
    if (!RunBatches()) return;
    const Taken before = Look();
    if (!RunBatches()) return;
    const Taken after = Look();
    Compare("host, resident", before.host, after.host, kBoundMib);
    if (before.device && after.device) {
      Compare("card", *before.device, *after.device,
              kBoundMib + kShareOfCard * Mib(*before.device));
    } else {
      section_.Skip("memory of the card", "there is none whose driver tells");
    }
    section_.Measured("highest of the card", absl::StrFormat("%.0f MiB", Mib(highest_)),
                      {{"device_mib", Mib(highest_)}});
  }

 private:
  static double Mib(int64_t bytes) { return static_cast<double>(bytes) / kMebibyte; }

  // False: the time is over, or a batch failed; the section says so.
  bool RunBatches() {
    std::mt19937 random(1);
    for (int i = 0; i < batches_; ++i) {
      if (place_.TimeIsOver()) {
        section_.OutOfTime(absl::StrCat("batches from ", i, " on"));
        return false;
      }
      const MixedBatch batch = DrawBatch(encoder_.info(), most_tokens_, random);
      for (const auto& result : encoder_.Encode(batch.tokens, batch.options)) {
        if (result.ok()) continue;
        section_.Require(absl::StrCat("batch ", i, " of ", batch.tokens.num_tokens(), " tokens"),
                         false, result.status().ToString());
        return false;
      }
      if (driver_.BytesInUse()) highest_ = std::max(highest_, *driver_.BytesInUse());
    }
    return true;
  }
  Taken Look() const {
    TrimHeap();
    return {driver_.BytesInUse(), ResidentPrivateBytes()};
  }
  void Compare(const std::string& what, int64_t before, int64_t after, double bound) const {
    section_.Compare(absl::StrCat(what, ", MiB more after ", batches_, " batches again"),
                     std::max(0.0, Mib(after - before)), bound,
                     {{"before_mib", Mib(before)}, {"after_mib", Mib(after)}});
  }

  const CheckPlace& place_;
  const Encoder& encoder_;
  CheckSection& section_;
  const CudaDriver driver_;
  const int batches_;
  const int64_t most_tokens_;
  int64_t highest_ = 0;
};

}  // namespace

void MeasureMemory(const CheckPlace& place, CheckSection& section) {
  const ModelScale scale = place.options.tiny ? ModelScale::kTiny : ModelScale::kBase;
  const RandomModel model = MakeRandomModel("longformer-base", scale);
  const auto folder = FolderOf(place, model, scale);
  if (!folder.ok()) return section.Require("memory", false, folder.status().ToString());
  const auto encoder = LoadOnDevice(place, *folder, DataType::kBFloat16);
  if (!encoder.ok()) return section.Require("memory", false, encoder.status().ToString());
  MemoryRun(place, **encoder, section).Run();
}

}  // namespace longspan
