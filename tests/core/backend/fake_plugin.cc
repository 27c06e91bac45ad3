// A plugin for open_backend_test: two cards that are the CPU.
#include <cstdio>
#include <string>

#include "core/backend/open_backend.h"
#include "core/backend/portable_backend.h"

namespace longspan {
namespace {

class FakeCard : public PortableBackend {
 public:
  explicit FakeCard(int index) : PortableBackend(at::Device(at::kCPU)), index_(index) {}
  std::string name() const override { return "fake:" + std::to_string(index_); }

 private:
  const int index_;
};

}  // namespace
}  // namespace longspan

extern "C" longspan::Backend* LongspanOpenBackend(int interface, int index, char* error) {
  if (interface == longspan::kBackendInterface && index < 2) return new longspan::FakeCard(index);
  std::snprintf(error, longspan::kOpenBackendErrorBytes,
                "the driver knows 2 cards, 0 and 1;\ncard %d is not there", index);
  return nullptr;
}
