// The plugin for NVIDIA cards as programs open it. On a machine without a card that proves that all
// of its symbols are found beside LibTorch, and that it says what is missing; tests/CMakeLists.txt
// puts LibTorch's CUDA part in the library path.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/backend/backend.h"
#include "core/backend/open_backend.h"

namespace longspan {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

const BackendPlugin kPlugin{.library = LONGSPAN_PLUGIN};

// What is missing of a card, as opposed to the library itself.
MATCHER(SaysWhatIsMissing, "") {
  return ExplainMatchResult(
      AnyOf(HasSubstr("no NVIDIA driver is installed"),
            HasSubstr("the NVIDIA driver supports CUDA"),
            HasSubstr("the NVIDIA driver does not start"), HasSubstr("no NVIDIA card is visible"),
            HasSubstr("compute capability"), HasSubstr("is not there; visible"),
            HasSubstr("this LibTorch has no CUDA part")),
      arg, result_listener);
}

TEST(CudaPlugin, OpensACard_OrSaysInOneLineWhatIsMissing) {
  const auto backend = OpenBackend("cuda", kPlugin);
  if (backend.ok()) {
    EXPECT_EQ((*backend)->name(), "cuda:0");
    return;
  }
  EXPECT_EQ(backend.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(backend.status().message()), SaysWhatIsMissing());
  EXPECT_THAT(std::string(backend.status().message()), Not(HasSubstr("\n")));
}

TEST(CudaPlugin, ACardThatNoMachineHas_IsNamed) {
  const auto backend = OpenBackend("cuda:1000", kPlugin);
  ASSERT_FALSE(backend.ok());
  EXPECT_THAT(std::string(backend.status().message()), HasSubstr("cuda:1000"));
  EXPECT_THAT(std::string(backend.status().message()), SaysWhatIsMissing());
}

TEST(CudaPlugin, AnotherInterface_IsRefused) {
  void* const library = dlopen(kPlugin.library.c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  auto* const open = reinterpret_cast<OpenBackendFunction*>(dlsym(library, kOpenBackendSymbol));
  ASSERT_NE(open, nullptr);
  char error[kOpenBackendErrorBytes] = "";
  EXPECT_EQ(open(kBackendInterface + 1, 0, error), nullptr);
  EXPECT_THAT(std::string(error), HasSubstr("another version of longspan"));
}

}  // namespace
}  // namespace longspan
