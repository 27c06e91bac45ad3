// The section "models": random models of the published widths and heads, with few layers, over
// random texts. Against the CPU in float32; and each text in a batch, beside texts that leave it
// half way and beside a text of NaN, against the same text alone.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "absl/strings/str_cat.h"
#include "core/checkpoint/model_folder.h"
#include "core/models/model.h"
#include "tests/cuda/backend_check.h"

namespace longspan {
namespace {

struct ModelBounds {
  // |got - want| / |want| of a vector against the CPU in float32, and in a batch against alone. On
  // a card the order of sums depends on the number of rows, and in storage types each value is
  // rounded anew, so equality is not promised.
  double from_cpu, in_a_batch;
};
ModelBounds BoundsOf(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat32:
      return {5e-5, 2e-5};
    case DataType::kFloat16:
      return {6e-3, 5e-3};
    default:
      return {4e-2, 3e-2};
  }
}

// Where there are hash buckets, a value that is rounded otherwise may fall into another one, whose
// keys are others.
constexpr double kBoundWithBuckets[] = {5e-3, 0.15, 0.05};  // in the order of kCheckedTypes
double BoundWithBuckets(DataType dtype) {
  const auto* const type = std::find(std::begin(kCheckedTypes), std::end(kCheckedTypes), dtype);
  return kBoundWithBuckets[type - std::begin(kCheckedTypes)];
}

struct RandomText {
  std::vector<int32_t> ids, globals;
  std::vector<uint8_t> mask;
  LshOptions lsh;
  TokenBatch::Text view() const { return {ids, globals, mask, lsh}; }
};

// Lengths of one token, beside windows, chunks and blocks, and of any size.
class TextMaker {
 public:
  TextMaker(const ModelInfo& info, int64_t longest, uint32_t seed)
      : info_(info), longest_(info.CutToLongest(longest)), random_(seed) {}

  RandomText Make() {
    RandomText text;
    const int64_t n = Length();
    text.ids = DrawIds(n, info_.vocab_size, static_cast<uint32_t>(random_()));
    if (Below(4) == 0) {
      for (int64_t i = 0; i < n; ++i) text.mask.push_back(i == 0 || Below(5) != 0);
    }
    const int64_t one_in = info_.supports_global_attention ? 1 + Below(60) : 0;
    for (int32_t i = 0; i < n && one_in > 0; ++i) {
      if (Below(one_in) == 0) text.globals.push_back(i);
    }
    if (info_.supports_hashing && Below(2) == 0)
      text.lsh = {.num_hashes = 1 + static_cast<int32_t>(Below(4)), .hash_seed = Below(3)};
    return text;
  }

 private:
  int64_t Below(int64_t n) { return static_cast<int64_t>(random_() % n); }
  int64_t Length() {
    std::vector<int64_t> edges = {
        1, 2, 64, 128, longest_, info_.length_multiple, info_.dense_up_to};
    for (const LayerAttention& layer : info_.layers)
      edges.insert(edges.end(), {layer.window, 2 * layer.window, layer.chunk_length});
    const bool edge = Below(2) == 0;
    const int64_t length = edge ? edges[Below(static_cast<int64_t>(edges.size()))] + Below(3) - 1
                                : 1 + Below(longest_);
    return std::clamp<int64_t>(length, 1, longest_);
  }

  const ModelInfo& info_;
  const int64_t longest_;
  std::mt19937 random_;
};

using Vectors = std::vector<absl::StatusOr<EncodedText>>;

// Half of the texts are pooled by their mean, half by their first token.
Vectors EncodeTexts(const Encoder& encoder, const std::vector<RandomText>& texts,
                    const EncodeControl& control = {}, size_t first = 0) {
  TokenBatch batch;
  std::vector<EncodeOptions> options;
  for (size_t i = 0; i < texts.size(); ++i) {
    batch.Add(texts[i].view());
    options.push_back({.pooling = (first + i) % 2 == 0 ? PoolingMode::kMean : PoolingMode::kCls});
  }
  return encoder.Encode(batch, options, control);
}

// The farthest of those texts that `counts` names; NaN where one has no vector.
Distance Farthest(const Vectors& got, const Vectors& want,
                  const std::function<bool(size_t)>& counts) {
  Distance worst;
  for (size_t i = 0; i < got.size(); ++i) {
    if (!counts(i)) continue;
    const bool both = got[i].ok() && want[i].ok();
    worst.Raise(both ? DistanceOf(got[i]->vector, want[i]->vector) : Distance{NAN, NAN, NAN});
  }
  return worst;
}
std::string FirstError(const Vectors& vectors) {
  for (const auto& vector : vectors) {
    if (!vector.ok()) return vector.status().ToString();
  }
  return "";
}
ReportJson More(const Distance& distance) {
  return {{"absolute", distance.absolute}, {"one_minus_cosine", distance.one_minus_cosine}};
}
bool Every(size_t) { return true; }

// One model in one type on the device.
class ModelCheck {
 public:
  ModelCheck(std::string what, const Encoder& encoder, DataType dtype, CheckSection& section)
      : what_(std::move(what)), encoder_(encoder), dtype_(dtype), section_(section) {}

  void AgainstTheCpu(const std::vector<RandomText>& texts, const Vectors& want) const {
    const Vectors got = EncodeTexts(encoder_, texts);
    if (const std::string error = FirstError(got); !error.empty())
      return section_.Require(what_, false, error);
    const Distance worst = Farthest(got, want, Every);
    const double bound =
        encoder_.info().supports_hashing ? BoundWithBuckets(dtype_) : BoundsOf(dtype_).from_cpu;
    section_.Compare(what_ + ", relative distance from the CPU", worst.relative, bound,
                     More(worst));
  }

  void InABatch(const std::vector<RandomText>& texts) const {
    const Vectors together = EncodeTexts(encoder_, texts);
    Vectors alone;
    for (size_t i = 0; i < texts.size(); ++i)
      alone.push_back(std::move(EncodeTexts(encoder_, {texts[i]}, {}, i)[0]));
    Compare(", in a batch and alone", Farthest(together, alone, Every));
  }

  // Every second text leaves behind the first layer.
  void WithTextsThatLeave(const std::vector<RandomText>& texts) const {
    int seams = 0;
    const EncodeControl control{
        .at_seam = [&] { ++seams; },
        .is_dropped = [&](int32_t text) { return text % 2 == 1 && seams > 1; }};
    const Vectors got = EncodeTexts(encoder_, texts, control);
    const auto stays = [](size_t i) { return i % 2 == 0; };
    Compare(", beside texts that leave", Farthest(got, EncodeTexts(encoder_, texts), stays));
  }

  // Puts NaN into the embeddings of one text. Shapes stay, and with them kernels and the order of
  // sums: what changes in the others is a leak.
  void BesideNan(const EncoderModel& model, const std::vector<RandomText>& texts) const {
    TokenBatch batch;
    for (const RandomText& text : texts) batch.Add(text.view());
    const auto spoilt = static_cast<int32_t>(texts.size() / 2);
    ForwardOptions spoil;
    spoil.observe_layer = [&](int layer, const at::Tensor& hidden) {
      if (layer != 0) return;
      const std::vector<int32_t>& borders = batch.cu_seqlens();
      hidden.slice(0, borders[spoilt], borders[spoilt + 1]).fill_(NAN);
    };
    const auto clean = model.Forward(batch, {}), got = model.Forward(batch, spoil);
    if (!clean.ok() || !got.ok())
      return section_.Require(what_, false, (clean.ok() ? got : clean).status().ToString());
    if (RowsOf(*got, batch, spoilt).isfinite().all().item<bool>())
      return section_.Skip(what_ + ", beside a text of NaN",
                           "this model shows a copy of its embeddings");
    bool same = true;
    for (int32_t text = 0; text < batch.num_texts(); ++text) {
      if (text != spoilt)
        same = same && RowsOf(*got, batch, text).equal(RowsOf(*clean, batch, text));
    }
    section_.Require(what_ + ", beside a text of NaN", same, "a row of another text has changed");
  }

 private:
  static at::Tensor RowsOf(const HiddenStates& states, const TokenBatch& batch, int32_t text) {
    return states.Rows(text, 0, batch.length(text));
  }
  void Compare(const std::string& how, const Distance& worst) const {
    const double bound =
        encoder_.info().supports_hashing ? BoundWithBuckets(dtype_) : BoundsOf(dtype_).in_a_batch;
    section_.Compare(what_ + how, worst.relative, bound, More(worst));
  }

  const std::string what_;
  const Encoder& encoder_;
  const DataType dtype_;
  CheckSection& section_;
};

void CheckModel(const CheckPlace& place, const RandomModel& model, ModelScale scale,
                CheckSection& section) {
  const auto path = FolderOf(place, model, scale);
  if (!path.ok()) return section.Require(model.name, false, path.status().ToString());
  const auto folder = ModelFolder::Open(*path);
  if (!folder.ok()) return section.Require(model.name, false, folder.status().ToString());
  const auto cpu = Encoder::Load(*folder, {});
  if (!cpu.ok()) return section.Require(model.name, false, cpu.status().ToString());
  TextMaker maker((*cpu)->info(), place.options.tiny ? 100 : 1500, 1);
  std::vector<RandomText> texts;
  for (int i = 0; i < (place.options.tiny ? 6 : 12); ++i) texts.push_back(maker.Make());
  const Vectors want = EncodeTexts(**cpu, texts);
  for (const DataType dtype : kCheckedTypes) {
    const std::string what = absl::StrCat(model.name, " ", NameOf(dtype));
    if (place.TimeIsOver()) return section.OutOfTime("from " + what + " on");
    const auto encoder = LoadOnDevice(place, *path, dtype);
    if (encoder.status().code() == absl::StatusCode::kUnimplemented) {
      section.Skip(what, std::string(encoder.status().message()));
      continue;
    }
    const auto alone = LoadEncoderModel(*folder, {dtype, place.backend.get()});
    if (!encoder.ok() || !alone.ok()) {
      section.Require(what, false,
                      absl::StrCat(encoder.status().ToString(), " ", alone.status().ToString()));
      continue;
    }
    const ModelCheck check(what, **encoder, dtype, section);
    check.AgainstTheCpu(texts, want);
    check.InABatch(texts);
    check.WithTextsThatLeave(texts);
    check.BesideNan(**alone, texts);
  }
}

}  // namespace

void CheckModels(const CheckPlace& place, CheckSection& section) {
  const ModelScale scale = place.options.tiny ? ModelScale::kTiny : ModelScale::kShallow;
  for (const std::string& name : RandomModelNames()) {
    if (place.TimeIsOver()) return section.OutOfTime("from " + name + " on");
    CheckModel(place, MakeRandomModel(name, scale), scale, section);
  }
}

}  // namespace longspan
