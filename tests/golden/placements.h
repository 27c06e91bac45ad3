// Where a golden test runs a model: on the kernels of the CPU in some type, or through the portable
// backend, which is the composition that a card runs.
#pragma once

#include <ostream>
#include <string>

#include "core/backend/portable_backend.h"
#include "core/layers/linear.h"
#include "core/layers/placement.h"

namespace longspan {

struct Where {
  DataType dtype = DataType::kFloat32;
  bool on_backend = false;

  const Backend* backend() const {
    static const PortableBackend portable{at::Device(at::kCPU)};
    return on_backend ? &portable : nullptr;
  }
  Placement placement() const { return {dtype, backend()}; }
  // Whether this processor runs it.
  absl::Status Supported() const {
    return on_backend ? absl::OkStatus() : CheckDataTypeSupported(dtype);
  }
  std::string name() const {
    return std::string(DataTypeName(dtype)) + (on_backend ? "_portable_backend" : "");
  }
  friend std::ostream& operator<<(std::ostream& out, const Where& where) {
    return out << where.name();
  }
};

}  // namespace longspan
