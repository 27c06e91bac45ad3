// A plugin for device_test, in the place of liblongspan_cuda.so: two cards that are the CPU. These
// variables say what is wrong with it; a file may come and go while the server runs.
//
//   PORTABLE_CARD_MISSING=TEXT  it does not open, and says this
//   PORTABLE_CARD_FREE=BYTES    what is free of its memory of 1 GiB; without it nothing is known
//   PORTABLE_CARD_FULL=FILE     while the file is there, products of more than 40 rows do not fit
//   PORTABLE_CARD_LOST=FILE     from the time that the file is there, every product fails
//   PORTABLE_CARD_USED=FILE     each card makes FILE.NUMBER when it is used
#include <c10/util/Exception.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "core/backend/open_backend.h"
#include "core/backend/portable_backend.h"

namespace longspan {
namespace {

constexpr int64_t kRowsOfAFullCard = 40;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool IsThere(const std::string& file) { return !file.empty() && access(file.c_str(), F_OK) == 0; }

class PortableCard : public PortableBackend {
 public:
  explicit PortableCard(int index) : PortableBackend(at::Device(at::kCPU)), index_(index) {}
  std::string name() const override { return "cuda:" + std::to_string(index_); }
  at::Tensor Product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     kernels::Activation activation) const override {
    TORCH_CHECK(!IsThere(lost_), "CUDA error: an illegal memory access was encountered");
    TORCH_CHECK_WITH(OutOfMemoryError, x.size(0) <= kRowsOfAFullCard || !IsThere(full_),
                     "CUDA out of memory");
    if (!used_.empty()) std::ofstream(used_ + "." + std::to_string(index_));
    return PortableBackend::Product(x, weight, bias, activation);
  }
  absl::Status CheckDevice() const override {
    if (!IsThere(lost_)) return absl::OkStatus();
    return absl::InternalError("an illegal memory access was encountered");
  }
  DeviceMemory Memory() const override {
    if (free_.empty()) return {};
    return {.total_bytes = int64_t{1} << 30, .free_bytes = std::stoll(free_)};
  }

 private:
  const int index_;
  const std::string used_ = Variable("PORTABLE_CARD_USED");
  const std::string lost_ = Variable("PORTABLE_CARD_LOST");
  const std::string full_ = Variable("PORTABLE_CARD_FULL");
  const std::string free_ = Variable("PORTABLE_CARD_FREE");
};

}  // namespace
}  // namespace longspan

extern "C" longspan::Backend* LongspanOpenBackend(int interface, int index, char* error) {
  const std::string missing = longspan::Variable("PORTABLE_CARD_MISSING");
  if (interface == longspan::kBackendInterface && index < 2 && missing.empty())
    return new longspan::PortableCard(index);
  std::snprintf(error, longspan::kOpenBackendErrorBytes, "%s",
                missing.empty() ? "the driver knows two cards, 0 and 1" : missing.c_str());
  return nullptr;
}
