// Placement: where a model lives and in which type, as its layers are told when it is loaded. A
// type alone means the kernels of the CPU:
//
//   LoadEncoderModel(folder, DataType::kFloat32)             the CPU
//   LoadEncoderModel(folder, {DataType::kBFloat16, &card})   a backend
//
// On a backend weights are uploaded once, in the storage type, and int8 weights are held in it too.
// Layers take all rows at once there: blocks of rows and pauses are for the CPU's caches and
// threads. A plain value; the backend must outlive the model.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/model_info.h"

namespace longspan {

class Backend;

struct Placement {
  Placement() = default;
  Placement(DataType dtype, const Backend* backend = nullptr) : dtype(dtype), backend(backend) {}

  // Whether layers take all rows at once, without blocks and pauses.
  bool takes_all_rows() const { return backend != nullptr; }
  // The type of a model's rows: what goes into and comes out of its linear layers, and the hidden
  // states, queries, keys and values between them. On the CPU it is RowType (linear.h); on a
  // backend it is the storage type: bfloat16 for int8, else `dtype` itself.
  at::ScalarType row_type() const;
  // HasInt8Scores (linear.h) on the CPU; never on a backend.
  bool has_int8_scores() const;
  // A weight on the backend, in `type`. Undefined stays undefined.
  at::Tensor Store(const at::Tensor& weight, at::ScalarType type) const;
  // A float32 weight as layers hold it that multiply by it themselves: itself on the CPU, stored in
  // row_type() on a backend.
  at::Tensor Keep(const at::Tensor& weight) const {
    return backend == nullptr ? weight : Store(weight, row_type());
  }
  // Numbers of rows, [n] int64, where the model's tensors are.
  at::Tensor Rows(const std::vector<int64_t>& rows) const;

  DataType dtype = DataType::kFloat32;
  const Backend* backend = nullptr;  // null = the kernels of the CPU
};

}  // namespace longspan
