// A backend that records runs without a device: it runs the recorded run anew, with what it held
// then of shapes and layouts, and with the rows of now. So a recording that is taken for a run of
// another shape gives wrong rows here, as it would on a card.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <functional>
#include <memory>
#include <utility>

#include "core/backend/portable_backend.h"

namespace longspan {

class RecordingBackend : public PortableBackend {
 public:
  RecordingBackend() : PortableBackend(at::Device(at::kCPU)) {}
  bool records() const override { return true; }
  std::unique_ptr<Recording> Record(const at::Tensor& x, const RowRun& run) const override {
    struct Again : Recording {
      at::Tensor Repeat(const at::Tensor& rows) const override {
        TORCH_CHECK(rows.sizes() == like.sizes() && rows.scalar_type() == like.scalar_type(),
                    "recorded for ", like.sizes(), ", repeated for ", rows.sizes());
        if (counted) ++backend->repeated;
        counted = true;  // the first time is the comparison
        at::Tensor out = run(rows.clone());
        return backend->spoil ? out.add(1e-3) : out;
      }
      const RecordingBackend* backend = nullptr;
      at::Tensor like;
      RowRun run;
      mutable bool counted = false;
    };
    const int before = copies;
    run(x.clone());
    TORCH_CHECK(copies == before, "a recorded run uploads");
    TORCH_CHECK(!refuse, "the device does not record this");
    ++recorded;
    auto again = std::make_unique<Again>();
    again->backend = this;
    again->like = x;
    again->run = run;
    return again;
  }

  bool refuse = false;  // Record throws
  bool spoil = false;   // recordings give other rows
  mutable int recorded = 0, repeated = 0, copies = 0;

 protected:
  at::Tensor CopyToDevice(const at::Tensor& host) const override {
    ++copies;
    return PortableBackend::CopyToDevice(host);
  }
};

}  // namespace longspan
