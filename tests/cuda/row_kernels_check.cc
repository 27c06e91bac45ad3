// Kernels that go over rows: activations, LayerNorm, embeddings, rotary positions.
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/cuda/kernels/kernels.h"
#include "tests/core/cuda/kernels/reference_activation.h"
#include "tests/cuda/check_sections.h"

namespace longspan::cuda {
namespace {

using kernels::Activation;

struct NamedActivation {
  Activation activation;
  const char* name;
};
const NamedActivation kActivations[] = {
    {Activation::kNone, "no activation"},
    {Activation::kGelu, "GELU"},
    {Activation::kGeluTanh, "GELU (tanh)"},
    {Activation::kRelu, "ReLU"},
    {Activation::kSilu, "SiLU"},
    {Activation::kTanh, "tanh"},
};

// Random values of one shape, on the host and on the card.
struct RowInputs {
  RowInputs(std::mt19937& random, Storage type, int64_t num_rows, int columns)
      : storage(type),
        rows(num_rows),
        width(columns),
        x(RandomValues(random, 2 * rows * width, storage, 2)),
        residual(RandomValues(random, rows * width, storage)),
        bias(RandomValues(random, width, storage)),
        gamma(RandomFloats(random, width)),
        beta(RandomFloats(random, width)),
        device_residual(residual.stored),
        device_bias(bias.stored),
        device_gamma(gamma),
        device_beta(beta),
        shape(std::to_string(rows) + " x " + std::to_string(width) + ", " + NameOf(storage)) {}

  void Compare(const std::string& what, const Device& got, const std::vector<double>& want) const {
    std::vector<uint16_t> values = got.Read<uint16_t>();
    values.resize(want.size());
    Report(what + ", " + shape, RelativeError(values, want, storage), ToleranceOf(storage));
  }

  // LayerNorm of rows of in(row, column).
  std::vector<double> Normalized(const std::function<double(int64_t, int)>& in,
                                 bool has_beta) const {
    std::vector<double> want(rows * width);
    for (int64_t r = 0; r < rows; ++r) {
      double mean = 0, squares = 0;
      for (int d = 0; d < width; ++d) mean += in(r, d) / width;
      for (int d = 0; d < width; ++d) squares += (in(r, d) - mean) * (in(r, d) - mean) / width;
      for (int d = 0; d < width; ++d) {
        want[r * width + d] =
            (in(r, d) - mean) / std::sqrt(squares + 1e-5) * gamma[d] + (has_beta ? beta[d] : 0);
      }
    }
    return want;
  }

  const Storage storage;
  const int64_t rows;
  const int width;
  const Values x;  // [rows, 2 width], or [rows, width] and something behind
  const Values residual;
  const Values bias;
  const std::vector<float> gamma, beta;
  const Device device_residual, device_bias, device_gamma, device_beta;
  const std::string shape;
};

void CheckActivations(const RowInputs& in) {
  for (const NamedActivation& a : kActivations) {
    std::vector<double> want(in.rows * in.width);
    for (const bool has_bias : {true, false}) {
      const Device values(in.x.stored);
      AddBiasActivationParams p;
      p.values = values.get();
      p.bias = has_bias ? in.device_bias.get() : nullptr;
      p.activation = a.activation;
      p.rows = in.rows;
      p.width = in.width;
      p.storage = in.storage;
      Require(AddBiasActivation(p, nullptr), "AddBiasActivation");
      for (int64_t i = 0; i < in.rows * in.width; ++i) {
        const double bias = has_bias ? in.bias.floats[i % in.width] : 0;
        want[i] = reference::Activate(a.activation, in.x.floats[i] + bias);
      }
      in.Compare(std::string(has_bias ? "bias and " : "") + a.name, values, want);
    }
    const Device both(in.x.stored), out(want.size() * 2);
    GatedUnitParams p;
    p.both = both.get();
    p.out = out.get();
    p.activation = a.activation;
    p.rows = in.rows;
    p.width = in.width;
    p.storage = in.storage;
    Require(GatedUnit(p, nullptr), "GatedUnit");
    for (int64_t i = 0; i < in.rows * in.width; ++i) {
      const int64_t at = i / in.width * 2 * in.width + i % in.width;
      want[i] = reference::Activate(a.activation, in.x.floats[at]) * in.x.floats[at + in.width];
    }
    in.Compare(std::string("gated unit of ") + a.name, out, want);
  }
}

void CheckNorms(const RowInputs& in) {
  // Bits: bias, residual, beta.
  for (int given = 0; given < 8; ++given) {
    const bool bias = (given & 1) != 0, residual = (given & 2) != 0, beta = (given & 4) != 0;
    const Device values(in.x.stored), out(in.residual.stored.size() * 2);
    AddBiasResidualNormParams p;
    p.values = values.get();
    p.bias = bias ? in.device_bias.get() : nullptr;
    p.residual = residual ? in.device_residual.get() : nullptr;
    p.gamma = in.device_gamma.as<float>();
    p.beta = beta ? in.device_beta.as<float>() : nullptr;
    p.out = out.get();
    p.rows = in.rows;
    p.width = in.width;
    p.storage = in.storage;
    Require(AddBiasResidualNorm(p, nullptr), "AddBiasResidualNorm");
    const std::vector<double> want = in.Normalized(
        [&](int64_t r, int d) {
          return in.x.floats[r * in.width + d] + (bias ? double{in.bias.floats[d]} : 0) +
                 (residual ? double{in.residual.floats[r * in.width + d]} : 0);
        },
        beta);
    in.Compare(std::string(bias ? "bias, " : "") + (residual ? "residual, " : "") + "LayerNorm" +
                   (beta ? "" : " without beta"),
               out, want);
  }
}

void CheckEmbeddings(std::mt19937& random, const RowInputs& in) {
  std::vector<int32_t> ids(in.rows), positions(in.rows), types(in.rows);
  for (int64_t r = 0; r < in.rows; ++r) {
    ids[r] = static_cast<int32_t>(random() % (2 * in.rows));
    positions[r] = static_cast<int32_t>(random() % in.rows);
    types[r] = static_cast<int32_t>(random() % 2);
  }
  const Values type_table = RandomValues(random, int64_t{2} * in.width, in.storage);
  const Device words(in.x.stored), table(type_table.stored), device_ids(ids),
      device_positions(positions), device_types(types);
  // Bits: positions, types, numbers of types, beta.
  for (const int given : {0, 1, 2, 3, 7, 8, 11, 15}) {
    const bool has_positions = (given & 1) != 0, has_types = (given & 2) != 0,
               has_type_ids = (given & 4) != 0, beta = (given & 8) != 0;
    const Device out(in.residual.stored.size() * 2);
    EmbedNormParams p;
    p.ids = device_ids.as<int32_t>();
    p.words = words.get();
    p.word_scale = has_positions ? 1.0F : 1.5F;
    p.positions = has_positions ? in.device_residual.get() : nullptr;
    p.position_ids = has_positions ? device_positions.as<int32_t>() : nullptr;
    p.types = has_types ? table.get() : nullptr;
    p.type_ids = has_type_ids ? device_types.as<int32_t>() : nullptr;
    p.gamma = in.device_gamma.as<float>();
    p.beta = beta ? in.device_beta.as<float>() : nullptr;
    p.out = out.get();
    p.rows = in.rows;
    p.width = in.width;
    p.storage = in.storage;
    Require(EmbedNorm(p, nullptr), "EmbedNorm");
    const std::vector<double> want = in.Normalized(
        [&](int64_t r, int d) {
          double x = double{in.x.floats[int64_t{ids[r]} * in.width + d]} * p.word_scale;
          if (has_positions) x += in.residual.floats[int64_t{positions[r]} * in.width + d];
          if (has_types) x += type_table.floats[(has_type_ids ? types[r] : 0) * in.width + d];
          return x;
        },
        beta);
    in.Compare("embeddings " + std::to_string(given) + " and LayerNorm", out, want);
  }
}

// cos and sin [positions, half] of angles that lie apart.
std::vector<float> Angles(int positions, int half, double (*of)(double)) {
  std::vector<float> values;
  for (int position = 0; position < positions; ++position) {
    for (int i = 0; i < half; ++i) {
      values.push_back(static_cast<float>(of(position * std::pow(1e4, -double(i) / half))));
    }
  }
  return values;
}
double Cos(double x) { return std::cos(x); }
double Sin(double x) { return std::sin(x); }

void CheckRotate(std::mt19937& random, Storage storage, int64_t tokens, int heads, int size) {
  const int half = size / 2;
  const int64_t row = int64_t{3} * heads * size;
  const Values x = RandomValues(random, tokens * row, storage);
  const std::vector<float> cos = Angles(512, half, Cos), sin = Angles(512, half, Sin);
  std::vector<int64_t> positions(tokens);
  for (int64_t& position : positions) position = static_cast<int64_t>(random() % 512);
  const Device qkv(x.stored), device_cos(cos), device_sin(sin), device_positions(positions);
  RotateParams p;
  p.qkv = qkv.get();
  p.cos = device_cos.as<float>();
  p.sin = device_sin.as<float>();
  p.positions = device_positions.as<int64_t>();
  p.tokens = tokens;
  p.heads = heads;
  p.head_size = size;
  p.storage = storage;
  Require(Rotate(p, nullptr), "Rotate");
  std::vector<double> want(x.floats.begin(), x.floats.end());
  for (int64_t i = 0; i < tokens * row; ++i) {
    if (i % row >= row / 3 * 2) continue;
    const int64_t d = i % size, angle = positions[i / row] * half + d % half;
    const double other = d < half ? -double{x.floats[i + half]} : x.floats[i - half];
    want[i] = double{x.floats[i]} * cos[angle] + other * sin[angle];
  }
  Report("rotary positions, " + std::to_string(tokens) + " x " + std::to_string(heads) +
             " heads of " + std::to_string(size) + ", " + NameOf(storage),
         RelativeError(qkv.Read<uint16_t>(), want, storage), ToleranceOf(storage));
}

void PrintTime(const char* what, double seconds, double bytes_of_row) {
  std::printf("TIME %s: %.2f ns a row, %.2f TB/s\n", what, seconds / kTokens * 1e9,
              bytes_of_row * kTokens / seconds * 1e-12);
}

void MeasureActivations(const Device& values, const Device& bias) {
  AddBiasActivationParams p;
  p.values = values.get();
  p.bias = bias.get();
  p.activation = Activation::kGelu;
  p.rows = kTokens;
  p.width = 3072;
  PrintTime("bias and GELU, 3,072 wide",
            Seconds([&] { Require(AddBiasActivation(p, nullptr), "AddBiasActivation"); }),
            3072 * 4.0);
  const Device out(size_t{kTokens} * 1152 * 2);
  GatedUnitParams gated;
  gated.both = values.get();
  gated.out = out.get();
  gated.activation = Activation::kGelu;
  gated.rows = kTokens;
  gated.width = 1152;
  PrintTime("gated unit of GELU, 1,152 wide",
            Seconds([&] { Require(GatedUnit(gated, nullptr), "GatedUnit"); }), 1152 * 6.0);
}

void MeasureNorms(const Device& values, const Device& out, const Device& ones) {
  AddBiasResidualNormParams p;
  p.values = values.get();
  p.gamma = ones.as<float>();
  p.out = out.get();
  p.rows = kTokens;
  p.width = kWidth;
  const auto norm = [&] { Require(AddBiasResidualNorm(p, nullptr), "AddBiasResidualNorm"); };
  PrintTime("LayerNorm without beta, 768 wide", Seconds(norm), kWidth * 4.0);
  p.bias = ones.get();
  p.residual = values.as<uint16_t>() + size_t{kTokens} * kWidth;
  p.beta = ones.as<float>();
  PrintTime("bias, residual and LayerNorm, 768 wide", Seconds(norm), kWidth * 6.0);
  std::vector<int32_t> ids(kTokens);
  for (int i = 0; i < kTokens; ++i) ids[i] = static_cast<int32_t>(i * int64_t{7919} % 50'000);
  const Device device_ids(ids);
  EmbedNormParams embed;
  embed.ids = embed.position_ids = device_ids.as<int32_t>();
  embed.words = values.get();
  embed.positions = values.as<uint16_t>() + size_t{kTokens} * kWidth;
  embed.gamma = embed.beta = ones.as<float>();
  embed.out = out.get();
  embed.rows = kTokens;
  embed.width = kWidth;
  PrintTime("embeddings and LayerNorm, 768 wide",
            Seconds([&] { Require(EmbedNorm(embed, nullptr), "EmbedNorm"); }), kWidth * 6.0);
}

void MeasureRotate(const Device& values) {
  const Device cos(Angles(4096, kHeadSize / 2, Cos)), sin(Angles(4096, kHeadSize / 2, Sin));
  std::vector<int64_t> positions(kTokens);
  for (int i = 0; i < kTokens; ++i) positions[i] = i % 4096;
  const Device device_positions(positions);
  RotateParams p;
  p.qkv = values.get();
  p.cos = cos.as<float>();
  p.sin = sin.as<float>();
  p.positions = device_positions.as<int64_t>();
  p.tokens = kTokens;
  p.heads = kHeads;
  p.head_size = kHeadSize;
  PrintTime("rotary positions, 12 heads of 64",
            Seconds([&] { Require(Rotate(p, nullptr), "Rotate"); }), kWidth * 8.0);
}

}  // namespace

void CheckRowKernels(std::mt19937& random, Storage storage) {
  const auto check = [&](int64_t rows, int width) {
    const RowInputs in(random, storage, rows, width);
    CheckActivations(in);
    if (width > kMaxNormWidth) return;
    CheckNorms(in);
    CheckEmbeddings(random, in);
  };
  for (const int width : {8, 256, 384, 520, 768, 1024, 2048, 3080}) {
    for (const int64_t rows : {1, 3, 301}) check(rows, width);
  }
  check(9001, 264);  // several rows a warp
  for (const int size : {6, 24, 32, 64, 128}) {
    for (const int64_t tokens : {1, 1001}) CheckRotate(random, storage, tokens, 5, size);
  }
  CheckRotate(random, storage, 77, 40, 256);
}

// `values` is written to last: rotations keep it finite, GELU of GELU does not matter any more.
void MeasureRowKernels(const Device& values, const Device& out) {
  const Device ones(std::vector<float>(3072, 1));
  MeasureNorms(values, out, ones);
  MeasureRotate(values);
  MeasureActivations(values, ones);
}

}  // namespace longspan::cuda
