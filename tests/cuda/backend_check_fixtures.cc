// The section "fixtures": every golden fixture on the device, in each storage type, against the CPU
// in float32 in this process and against the rows of the published code.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "absl/strings/str_cat.h"
#include "core/weights/safetensors_reader.h"
#include "tests/cuda/backend_check.h"
#include "tests/golden/fixture_cases.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

// In float32: the largest error of a value, which is what is promised of the CPU too.
constexpr double kFloat32Absolute = 1e-4;
// In storage types: 1 - cosine of the worst vector and of the one in the middle, as on the portable
// backend (data_type_test). The fixtures' weights are far larger than a trained model's.
struct CosineBounds {
  double worst, middle;
};
CosineBounds BoundsOf(DataType dtype) {
  return dtype == DataType::kBFloat16 ? CosineBounds{0.01, 1e-3} : CosineBounds{1e-3, 1e-4};
}

struct FixtureText {
  TokenBatch::Text view;     // with its padding and under its mask
  std::string expected;      // the tensor of its case ...
  int64_t text_of_case = 0;  // ... and where it stands there
};

// The texts of all cases as one batch. The views show what `cases` holds.
std::vector<FixtureText> TextsOf(const std::vector<FixtureCase>& cases) {
  std::vector<FixtureText> texts;
  for (const FixtureCase& c : cases) {
    for (size_t text = 0; text < c.num_texts(); ++text)
      texts.push_back({c.Text(text, /*keep_padding=*/true), c.name, static_cast<int64_t>(text)});
  }
  return texts;
}

struct EncodedFixture {
  std::vector<std::vector<float>> vectors;  // mean of each text, then the first row of each
  std::vector<std::vector<float>> rows;     // [tokens x width] of each text
};

absl::StatusOr<EncodedFixture> Encode(const Encoder& encoder,
                                      const std::vector<FixtureText>& texts) {
  TokenBatch batch;
  for (const FixtureText& text : texts) batch.Add(text.view);
  EncodedFixture encoded;
  encoded.rows.resize(texts.size());
  for (const PoolingMode pooling : {PoolingMode::kMean, PoolingMode::kCls}) {
    std::vector<EncodeOptions> options(texts.size(), EncodeOptions{.pooling = pooling});
    for (size_t text = 0; text < texts.size() && pooling == PoolingMode::kMean; ++text) {
      options[text].token_sink = [&, text](int64_t, int64_t count, const float* values) {
        const int64_t size = count * encoder.info().token_dimensions;
        encoded.rows[text].insert(encoded.rows[text].end(), values, values + size);
      };
    }
    for (auto& result : encoder.Encode(batch, options)) {
      if (!result.ok()) return result.status();
      encoded.vectors.push_back(std::move(result->vector));
    }
  }
  return encoded;
}

// The rows of a text that its mask reads, of `rows` and of the published code.
class PublishedRows {
 public:
  explicit PublishedRows(const std::string& folder) {
    auto reader = SafetensorsReader::Open(folder + "/expected.safetensors");
    if (reader.ok()) reader_ = *std::move(reader);
  }
  Distance From(const std::vector<float>& rows, const FixtureText& text) const {
    if (reader_ == nullptr || !reader_->tensors().contains(text.expected)) return {NAN, NAN, NAN};
    const StoredTensor& stored = reader_->tensors().at(text.expected);
    const int64_t width = stored.shape[2];
    const auto* want = reinterpret_cast<const float*>(stored.data.data()) +
                       text.text_of_case * stored.shape[1] * width;
    return OfReadRows(rows, {want, rows.size()}, text, width);
  }
  static Distance OfReadRows(const std::vector<float>& got, std::span<const float> want,
                             const FixtureText& text, int64_t width) {
    if (got.size() != want.size() || got.size() != text.view.token_ids.size() * width)
      return {NAN, NAN, NAN};
    Distance worst;
    for (size_t row = 0; row < text.view.token_ids.size(); ++row) {
      if (text.view.attention_mask[row] == 0) continue;
      worst.Raise(
          DistanceOf(std::span(got).subspan(row * width, width), want.subspan(row * width, width)));
    }
    return worst;
  }

 private:
  std::unique_ptr<SafetensorsReader> reader_;
};

struct Fixture {
  std::string name, folder;
  std::vector<FixtureCase> cases;
  EncodedFixture on_cpu;  // in float32
};

void CompareFloat32(const Fixture& fixture, const std::vector<FixtureText>& texts,
                    const EncodedFixture& got, int64_t width, CheckSection& section) {
  const PublishedRows published(fixture.folder);
  Distance from_cpu, from_published;
  for (size_t i = 0; i < got.vectors.size(); ++i)
    from_cpu.Raise(DistanceOf(got.vectors[i], fixture.on_cpu.vectors[i]));
  for (size_t i = 0; i < texts.size(); ++i) {
    from_cpu.Raise(PublishedRows::OfReadRows(got.rows[i], fixture.on_cpu.rows[i], texts[i], width));
    from_published.Raise(published.From(got.rows[i], texts[i]));
  }
  const auto more = [](const Distance& distance) {
    return ReportJson{{"relative", distance.relative},
                      {"one_minus_cosine", distance.one_minus_cosine}};
  };
  section.Compare(fixture.name + " float32, largest difference from the CPU", from_cpu.absolute,
                  kFloat32Absolute, more(from_cpu));
  section.Compare(fixture.name + " float32, largest difference from the published code",
                  from_published.absolute, kFloat32Absolute, more(from_published));
}

void CompareStorageType(const Fixture& fixture, DataType dtype, const EncodedFixture& got,
                        bool has_buckets, CheckSection& section) {
  Distance worst;
  std::vector<double> angles;
  for (size_t i = 0; i < got.vectors.size(); ++i) {
    const Distance distance = DistanceOf(got.vectors[i], fixture.on_cpu.vectors[i]);
    worst.Raise(distance);
    angles.push_back(distance.one_minus_cosine);
  }
  const std::string what = absl::StrCat(fixture.name, " ", NameOf(dtype));
  const ReportJson more = {{"absolute", worst.absolute}, {"relative", worst.relative}};
  if (has_buckets) {
    // A value that is rounded may fall into another bucket, whose keys are others.
    section.Compare(what + ", 1 - cosine of the worst vector (buckets may differ)",
                    worst.one_minus_cosine, dtype == DataType::kBFloat16 ? 0.05 : 0.01, more);
    return;
  }
  std::nth_element(angles.begin(), angles.begin() + angles.size() / 2, angles.end());
  section.Compare(what + ", 1 - cosine of the worst vector", worst.one_minus_cosine,
                  BoundsOf(dtype).worst, more);
  section.Compare(what + ", 1 - cosine of the vector in the middle", angles[angles.size() / 2],
                  BoundsOf(dtype).middle);
}

void CheckFixture(const CheckPlace& place, const Fixture& fixture, DataType dtype,
                  CheckSection& section) {
  const std::string what = absl::StrCat(fixture.name, " ", NameOf(dtype));
  const auto encoder = LoadOnDevice(place, fixture.folder, dtype);
  if (encoder.status().code() == absl::StatusCode::kUnimplemented)
    return section.Skip(what, std::string(encoder.status().message()));
  if (!encoder.ok()) return section.Require(what, false, encoder.status().ToString());
  const std::vector<FixtureText> texts = TextsOf(fixture.cases);
  const auto got = Encode(**encoder, texts);
  if (!got.ok()) return section.Require(what, false, got.status().ToString());
  const ModelInfo& info = (*encoder)->info();
  if (dtype == DataType::kFloat32)
    return CompareFloat32(fixture, texts, *got, info.token_dimensions, section);
  CompareStorageType(fixture, dtype, *got, info.supports_hashing, section);
}

std::vector<std::string> FixtureNames(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (fs::exists(entry.path() / "expected.safetensors"))
      names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

void CheckFixtures(const CheckPlace& place, CheckSection& section) {
  const std::vector<std::string> names = FixtureNames(place.options.fixtures);
  if (names.empty()) return section.Require("fixtures", false, "--fixtures names no folder of any");
  for (const std::string& name : names) {
    if (place.TimeIsOver()) return section.OutOfTime("from " + name + " on");
    Fixture fixture{.name = name, .folder = place.options.fixtures + "/" + name};
    fixture.cases = ReadFixtureCases(fixture.folder);
    const auto cpu = Encoder::Load(fixture.folder);
    if (!cpu.ok()) {
      section.Require(name + " on the CPU", false, cpu.status().ToString());
      continue;
    }
    auto on_cpu = Encode(**cpu, TextsOf(fixture.cases));
    if (!on_cpu.ok()) {
      section.Require(name + " on the CPU", false, on_cpu.status().ToString());
      continue;
    }
    fixture.on_cpu = *std::move(on_cpu);
    for (const DataType dtype : kCheckedTypes) CheckFixture(place, fixture, dtype, section);
  }
}

}  // namespace longspan
