// The emulated device finds the mistakes that it is there to find.
#include "tests/core/cuda/kernels/cuda_emulation.h"
#include "tests/core/cuda/kernels/emulated_ampere.h"
//
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "core/cuda/kernels/launch.cuh"

namespace longspan::cuda {
namespace {

constexpr int kThreads = 64;

// Each thread hands its number to its neighbour in the other direction of the block.
template <bool kBarrier>
__global__ void ReverseKernel(int* out) {
  int* shared = reinterpret_cast<int*>(LaunchedShared());
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kBarrier) __syncthreads();
  out[threadIdx.x] = shared[kThreads - 1 - threadIdx.x];
}

// Copies 16 bytes a thread by way of shared memory.
template <bool kWait>
__global__ void CopyKernel(const uint4* in, uint4* out) {
  uint4* shared = reinterpret_cast<uint4*>(LaunchedShared());
  CopyAsync16(shared + threadIdx.x, in + threadIdx.x, true);
  CopyCommit();
  if (kWait) CopyWait<0>();
  out[threadIdx.x] = shared[threadIdx.x];
  if (!kWait) CopyWait<0>();
}

__global__ void WriteBehindKernel() { LaunchedShared()[kThreads] = 0; }

__global__ void DivergeKernel() {
  if (threadIdx.x == 0) {
    __syncwarp();
  } else {
    __shfl_xor_sync(~0U, 1, 1);
  }
}

__global__ void EarlyReturnKernel() {
  if (threadIdx.x > 0) __syncthreads();
}

class CudaEmulation : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulation::kCanEmulate) GTEST_SKIP() << "sanitizers do not know the stacks of fibers";
    emulation::Seed(1);
  }
};
using CudaEmulationDeathTest = CudaEmulation;

// How many of 20 launches give the wrong result.
int WrongReverses(void (*kernel)(int*)) {
  int wrong = 0;
  for (int launch = 0; launch < 20; ++launch) {
    std::vector<int> out(kThreads);
    Launch(kernel, dim3(1), kThreads, kThreads * 4, nullptr, out.data());
    for (int i = 0; i < kThreads; ++i) {
      if (out[static_cast<size_t>(i)] == kThreads - 1 - i) continue;
      ++wrong;
      break;
    }
  }
  return wrong;
}
TEST_F(CudaEmulation, AMissingBarrierShows) {
  EXPECT_EQ(WrongReverses(ReverseKernel<true>), 0);
  EXPECT_GT(WrongReverses(ReverseKernel<false>), 0);
}

int WrongCopies(void (*kernel)(const uint4*, uint4*)) {
  int wrong = 0;
  for (int launch = 0; launch < 20; ++launch) {
    std::vector<uint4> in(kThreads, uint4{1, 2, 3, 4}), out(kThreads);
    Launch(kernel, dim3(1), kThreads, kThreads * 16, nullptr, in.data(), out.data());
    if (out[0].x != 1 || out[kThreads - 1].w != 4) ++wrong;
  }
  return wrong;
}
TEST_F(CudaEmulation, AMissingWaitForACopyShows) {
  EXPECT_EQ(WrongCopies(CopyKernel<true>), 0);
  EXPECT_GT(WrongCopies(CopyKernel<false>), 0);
}

TEST_F(CudaEmulationDeathTest, AWriteBehindSharedMemoryAborts) {
  EXPECT_DEATH(Launch(WriteBehindKernel, dim3(1), 32, kThreads, nullptr), "behind the shared");
}
TEST_F(CudaEmulationDeathTest, AWarpThatDoesDifferentThingsAborts) {
  EXPECT_DEATH(Launch(DivergeKernel, dim3(1), 32, 0, nullptr), "different things");
}
TEST_F(CudaEmulationDeathTest, ABarrierThatAThreadNeverReachesAborts) {
  EXPECT_DEATH(Launch(EarlyReturnKernel, dim3(1), 32, 0, nullptr), "wait for each other");
}

}  // namespace
}  // namespace longspan::cuda
