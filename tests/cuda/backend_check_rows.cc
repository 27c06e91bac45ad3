// The section "rows": the operations that work row by row, and pooling.
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "tests/cuda/operation_check.h"

namespace longspan {
namespace {

using kernels::Activation;
using Operation = OperationCheck::Operation;

struct NamedActivation {
  Activation activation;
  const char* name;
};
constexpr NamedActivation kActivations[] = {
    {Activation::kNone, "none"}, {Activation::kGelu, "gelu"}, {Activation::kGeluTanh, "gelu_tanh"},
    {Activation::kRelu, "relu"}, {Activation::kSilu, "silu"}, {Activation::kTanh, "tanh"}};

// [rows, in] -> [rows, out].
struct ProductShape {
  int64_t rows, in, out;
};

// The widths of the families, of their fixtures, and a number of rows that fills no tile.
std::vector<ProductShape> ProductShapes(bool tiny) {
  if (tiny) return {{7, 32, 48}, {130, 64, 192}};
  return {{1, 768, 768},    {129, 768, 3072}, {1000, 3072, 768}, {4096, 768, 2304},
          {777, 384, 1536}, {65, 256, 512},   {33, 32, 48},      {5, 36, 40}};
}

void CheckProducts(const OperationCheck& check) {
  for (const ProductShape& shape : ProductShapes(check.place().options.tiny)) {
    for (const NamedActivation& named : kActivations) {
      for (const bool has_bias : {false, true}) {
        if (!has_bias && named.activation != Activation::kNone) continue;
        const auto make = [&](at::ScalarType type) -> Operation {
          const at::Tensor x = Random({shape.rows, shape.in}, type);
          const at::Tensor weight =
              Random({shape.out, shape.in}, type, 1 / std::sqrt(static_cast<double>(shape.in)));
          const at::Tensor bias = has_bias ? Random({shape.out}, type) : at::Tensor();
          return [=](const Backend& backend, at::ScalarType stored) {
            return std::vector<at::Tensor>{
                backend.Product(Put(backend, x, stored), Put(backend, weight, stored),
                                Put(backend, bias, stored), named.activation)};
          };
        };
        check.Run(absl::StrCat("Product ", shape.rows, " x ", shape.in, " -> ", shape.out, ", ",
                               named.name, has_bias ? ", bias" : ""),
                  make);
      }
    }
  }
}

void CheckGatedUnits(const OperationCheck& check) {
  for (const NamedActivation& named : kActivations) {
    for (const int64_t width : {40, 1152}) {
      const auto make = [&](at::ScalarType type) -> Operation {
        const at::Tensor both = Random({67, 2 * width}, type);
        return [=](const Backend& backend, at::ScalarType stored) {
          return std::vector<at::Tensor>{
              backend.GatedUnit(Put(backend, both, stored), named.activation)};
        };
      };
      check.Run(absl::StrCat("GatedUnit ", width, ", ", named.name), make);
    }
  }
}

// Weights of norms are float32 on every backend.
NormWeights PutNorm(const Backend& backend, const at::Tensor& weight, const at::Tensor& bias) {
  return {Put(backend, weight, at::kFloat), Put(backend, bias, at::kFloat), 1e-5};
}

void CheckNorms(const OperationCheck& check, int64_t rows, int64_t width, bool has_bias) {
  const auto norm = [&](at::ScalarType type) -> Operation {
    const at::Tensor x = Random({rows, width}, type, 3), weight = Random({width}, at::kFloat);
    const at::Tensor bias = has_bias ? Random({width}, at::kFloat) : at::Tensor();
    return [=](const Backend& backend, at::ScalarType stored) {
      return std::vector<at::Tensor>{
          backend.Norm(Put(backend, x, stored), PutNorm(backend, weight, bias))};
    };
  };
  const std::string shape =
      absl::StrCat(" ", rows, " x ", width, has_bias ? ", with a bias" : ", without a bias");
  check.Run("Norm" + shape, norm);
  const auto residual_norm = [&](at::ScalarType type) -> Operation {
    const at::Tensor x = Random({rows, width}, type), residual = Random({rows, width}, type);
    const at::Tensor added = has_bias ? Random({width}, type) : at::Tensor();
    const at::Tensor weight = Random({width}, at::kFloat), bias = Random({width}, at::kFloat);
    return [=](const Backend& backend, at::ScalarType stored) {
      return std::vector<at::Tensor>{backend.AddBiasResidualNorm(
          Put(backend, x, stored), Put(backend, added, stored), Put(backend, residual, stored),
          PutNorm(backend, weight, bias))};
    };
  };
  check.Run("AddBiasResidualNorm" + shape, residual_norm);
}

void CheckEmbeddings(const OperationCheck& check, int64_t width, bool positions, bool types) {
  const auto make = [&](at::ScalarType type) -> Operation {
    constexpr int64_t kTokens = 301;
    const at::Tensor tables[] = {Random({500, width}, type), Random({90, width}, type),
                                 Random({3, width}, type)};
    const at::Tensor rows[] = {at::randint(0, 500, {kTokens}, at::kInt),
                               at::randint(0, 90, {kTokens}, at::kInt),
                               at::randint(0, 3, {kTokens}, at::kInt)};
    const at::Tensor weight = Random({width}, at::kFloat), bias = Random({width}, at::kFloat);
    return [=](const Backend& backend, at::ScalarType stored) {
      EmbeddingTables on_device{.words = Put(backend, tables[0], stored), .word_scale = 1.5};
      EmbeddingRows numbers{.words = backend.Upload(rows[0])};
      if (positions) {
        on_device.positions = Put(backend, tables[1], stored);
        numbers.positions = backend.Upload(rows[1]);
      }
      // A table without rows: every token takes row 0.
      if (types || positions) on_device.types = Put(backend, tables[2], stored);
      if (types) numbers.types = backend.Upload(rows[2]);
      return std::vector<at::Tensor>{
          backend.Embed(on_device, numbers, PutNorm(backend, weight, bias))};
    };
  };
  check.Run(absl::StrCat("Embed ", width, positions ? ", positions" : "", types ? ", types" : ""),
            make);
}

void CheckRotations(const OperationCheck& check, int64_t heads, int64_t size) {
  const auto make = [&](at::ScalarType type) -> Operation {
    constexpr int64_t kRows = 203, kPositions = 120;
    const at::Tensor qkv = Random({kRows, 3, heads, size}, type);
    const at::Tensor angles = at::randn({kPositions, size / 2});
    const at::Tensor positions = at::randint(0, kPositions, {kRows}, at::kLong);
    return [=](const Backend& backend, at::ScalarType stored) {
      at::Tensor rotated = Put(backend, qkv, stored);
      backend.Rotate(rotated, backend.Upload(angles.cos()), backend.Upload(angles.sin()),
                     backend.Upload(positions));
      return std::vector<at::Tensor>{rotated};
    };
  };
  check.Run(absl::StrCat("Rotate, ", heads, " heads of ", size), make);
}

void CheckGatherAndScatter(const OperationCheck& check) {
  const auto make = [&](at::ScalarType type) -> Operation {
    const at::Tensor x = Random({211, 3, 40}, type), values = Random({57, 3, 40}, type);
    const at::Tensor rows = at::randperm(211, at::kLong).slice(0, 0, 57).contiguous();
    return [=](const Backend& backend, at::ScalarType stored) {
      at::Tensor out = Put(backend, x, stored);
      const at::Tensor gathered = backend.Gather(out, backend.Upload(rows));
      backend.Scatter(Put(backend, values, stored), backend.Upload(rows), out);
      return std::vector<at::Tensor>{gathered, out};
    };
  };
  check.Run("Gather and Scatter", make);
}

// Segments of one row, of many, some rows not read, and a NaN that must stay in its segment.
void CheckReductions(const OperationCheck& check, int64_t width) {
  const auto make = [&](at::ScalarType type) -> Operation {
    std::vector<int64_t> lengths = {1, 2, 300, 1, 64, 65, 1000, 7};
    if (check.place().options.tiny) lengths = {1, 2, 30, 7};
    int64_t n = 0;
    for (const int64_t length : lengths) n += length;
    at::Tensor rows = Random({n, width}, type);
    rows.select(0, 1).fill_(NAN);
    const at::Tensor weights = at::randn({n}).abs(), read = at::randn({n}).gt(-0.8);
    return [=](const Backend& backend, at::ScalarType stored) {
      const Segments segments{.lengths = backend.Upload(at::tensor(lengths, at::kLong)),
                              .weights = backend.Upload(weights),
                              .read = backend.Upload(read),
                              .sum = true,
                              .max = true};
      const SegmentValues values = backend.ReduceSegments(Put(backend, rows, stored), segments);
      // Sums are float64 over what is stored, so every type gives the same.
      return std::vector<at::Tensor>{values.sum, values.weighted_sum, values.max};
    };
  };
  check.Run(absl::StrCat("ReduceSegments ", width), make);
}

}  // namespace

void CheckRowOperations(const CheckPlace& place, CheckSection& section) {
  const OperationCheck check(place, section);
  CheckReductions(check, 32);
  CheckReductions(check, 768);
  for (const int64_t width : {8, 32, 384, 520, 768, 1024}) {
    CheckNorms(check, 257, width, width % 3 != 0);
    CheckEmbeddings(check, width, /*positions=*/true, /*types=*/width != 768);
    CheckEmbeddings(check, width, /*positions=*/false, /*types=*/false);
  }
  CheckNorms(check, 1, 768, /*has_bias=*/false);
  for (const int64_t size : {32, 40, 64, 128}) CheckRotations(check, 3, size);
  CheckGatherAndScatter(check);
  CheckGatedUnits(check);
  CheckProducts(check);
}

}  // namespace longspan
