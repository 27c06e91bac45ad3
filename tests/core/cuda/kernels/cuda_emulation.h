// Kernels of CUDA on the processor, for tests on machines without a device. A test includes this
// file first and then the .cu files themselves, which find here the names of CUDA that they use:
// those of the language (__global__, threadIdx, __syncthreads, ...) and of the runtime API. A
// launch is done when it returns.
//
// A block runs as fibers, one for each of its threads, on the calling thread. What a warp or a
// block does together waits until all of its threads have come, and fails where they do different
// things. Mistakes that a device may hide become wrong results or an abort:
//   - one warp runs as far as it comes alone, and the order of warps is random: missing barriers
//   - shared memory begins as NaNs, and what lies behind it must stay as it was
//   - asynchronous copies (emulated_ampere.h) are done at once in some launches, and in others as
//     late as the waits allow
// One launch at a time. Sanitizers do not know the stacks of fibers: kCanEmulate is false there.
#pragma once

#define LONGSPAN_CUDA_EMULATION

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <type_traits>
#include <vector>

// The names are CUDA's.
// NOLINTBEGIN(bugprone-reserved-identifier)
#define __global__ inline
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3() = default;
  dim3(unsigned x_size, unsigned y_size = 1, unsigned z_size = 1)
      : x(x_size), y(y_size), z(z_size) {}
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(8) int2 {
  int32_t x, y;
};

// Those of the thread that runs.
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace longspan::cuda::emulation {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kCanEmulate = false;
#else
inline constexpr bool kCanEmulate = true;
#endif

inline void Fail(const char* what) {
  std::fprintf(stderr, "emulated kernel: %s\n", what);
  std::abort();
}

inline constexpr int kWarp = 32;
inline constexpr size_t kStackBytes = 256 << 10;

// Fibers that act together: a warp or a block.
struct Group {
  int size = 0;
  int arrived = 0;
  int kind = 0;             // of what they do
  uint64_t generation = 0;  // how often all have come
};

struct Copy {  // asynchronous, of 16 bytes
  void* to;
  const void* from;
  bool read;
  int group;
};

struct Fiber {
  jmp_buf at;
  ucontext_t start;
  std::unique_ptr<char[]> stack;
  bool started = false;
  bool done = false;
  const Group* waits_for = nullptr;
  uint64_t generation = 0;  // of that group, which ends the wait when it passes
  std::vector<Copy> copies;
  int copy_group = 0;
};

// What lanes hand to each other.
struct WarpSlots {
  Group group;
  const void* address[kWarp];
  uint32_t in[kWarp][10];
  uint32_t out[kWarp][4];
};

struct State {
  uint8_t* shared = nullptr;
  int threads = 0;  // of a block
  int thread = 0;   // that runs
  bool early_copies = false;
  jmp_buf scheduler;
  std::vector<Fiber> fibers;
  std::vector<WarpSlots> warps;
  Group all;
  bool any_flag = false, any_result = false;  // of __syncthreads_or
  std::function<void()> body;
  std::mt19937 random{1};
};
inline State& Machine() {
  static State state;
  return state;
}

// The shared memory that a block may have, in bytes: that of compute capability 9.0 unless a test
// sets another.
inline int& MostShared() {
  static int bytes = 227 << 10;
  return bytes;
}

// Makes the order of the launches that follow the same in each run.
inline void Seed(unsigned seed) { Machine().random.seed(seed); }

inline Fiber& Self() { return Machine().fibers[static_cast<size_t>(Machine().thread)]; }
inline WarpSlots& Warp() { return Machine().warps[static_cast<size_t>(Machine().thread / kWarp)]; }
inline int Lane() { return Machine().thread % kWarp; }

// From a fiber to the scheduler, until the scheduler comes back to it.
__attribute__((noinline)) inline void Yield() {
  if (_setjmp(Self().at) == 0) _longjmp(Machine().scheduler, 1);
}
// From the scheduler into the fiber Machine().thread, until it yields or ends. No local variable
// lives across the jump.
__attribute__((noinline)) inline void Resume() {
  if (_setjmp(Machine().scheduler) != 0) return;
  if (Self().started) _longjmp(Self().at, 1);
  Self().started = true;
  setcontext(&Self().start);
}
inline void RunFiber() {
  Machine().body();
  if (!Self().copies.empty()) Fail("a copy is never waited for");
  Self().done = true;
  _longjmp(Machine().scheduler, 1);
}

// The last of the group to come calls act() for all.
template <typename Act>
void Together(Group& group, int kind, Act act) {
  if (group.arrived > 0 && group.kind != kind) Fail("threads of a group do different things");
  group.kind = kind;
  if (++group.arrived == group.size) {
    act();
    group.arrived = 0;
    ++group.generation;
    return;
  }
  Self().waits_for = &group;
  Self().generation = group.generation;
  Yield();
}

inline void BeginBlock() {
  State& m = Machine();
  m.fibers.resize(static_cast<size_t>(m.threads));
  m.warps.assign(static_cast<size_t>((m.threads + kWarp - 1) / kWarp), WarpSlots());
  int left = m.threads;
  for (WarpSlots& warp : m.warps) {
    warp.group.size = std::min(kWarp, left);
    left -= kWarp;
  }
  m.all = Group();
  m.all.size = m.threads;
  for (Fiber& fiber : m.fibers) {
    fiber.started = fiber.done = false;
    fiber.waits_for = nullptr;
    fiber.copies.clear();
    fiber.copy_group = 0;
    if (!fiber.stack) fiber.stack.reset(new char[kStackBytes]);
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.get();
    fiber.start.uc_stack.ss_size = kStackBytes;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, RunFiber, 0);
  }
}

inline bool CanRun(const Fiber& fiber) {
  return !fiber.done && !(fiber.waits_for && fiber.waits_for->generation == fiber.generation);
}

// Runs the threads of a warp, in this order or in the reverse, as far as they come without other
// warps. Returns how many of them ended, or -1 where none could run.
inline int RunWarp(int warp, bool forward) {
  State& m = Machine();
  int ended = 0;
  bool progress = false;
  for (bool again = true; again;) {
    again = false;
    for (int i = 0; i < kWarp; ++i) {
      const int thread = warp * kWarp + (forward ? i : kWarp - 1 - i);
      if (thread >= m.threads || !CanRun(m.fibers[static_cast<size_t>(thread)])) continue;
      m.thread = thread;
      threadIdx = dim3(static_cast<unsigned>(thread), 0, 0);
      Self().waits_for = nullptr;
      Resume();
      if (Self().done) ++ended;
      progress = again = true;
    }
  }
  return progress ? ended : -1;
}

inline void RunBlock() {
  State& m = Machine();
  BeginBlock();
  const int warps = static_cast<int>(m.warps.size());
  int left = m.threads;
  while (left > 0) {
    const int order = static_cast<int>(m.random() % static_cast<unsigned>(2 * warps));
    const bool forward = order % 2 != 0;
    bool progress = false;
    for (int w = 0; w < warps; ++w) {
      const int ended = RunWarp(((forward ? w : warps - 1 - w) + order / 2) % warps, forward);
      if (ended >= 0) progress = true;
      left -= std::max(ended, 0);
    }
    if (!progress) Fail("the threads wait for each other forever");
  }
}

template <typename Body>
void RunGrid(const dim3& grid, int threads, size_t shared_bytes, Body body) {
  constexpr size_t kAlignment = 128;
  State& m = Machine();
  std::vector<uint8_t> memory(shared_bytes + 2 * kAlignment);
  const size_t first = kAlignment - reinterpret_cast<uintptr_t>(memory.data()) % kAlignment;
  m.shared = memory.data() + first;
  m.threads = threads;
  m.early_copies = m.random() % 2 == 0;
  m.body = body;
  gridDim = grid;
  blockDim = dim3(static_cast<unsigned>(threads));
  for (unsigned i = 0; i < grid.x * grid.y * grid.z; ++i) {
    std::fill(memory.begin(), memory.end(), uint8_t{0xff});
    blockIdx = dim3(i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y);
    RunBlock();
    for (size_t byte = first + shared_bytes; byte < memory.size(); ++byte) {
      if (memory[byte] != 0xff) Fail("a write behind the shared memory");
    }
  }
}

}  // namespace longspan::cuda::emulation

// ---- the language ----

inline void __syncthreads() {
  namespace emulation = longspan::cuda::emulation;
  emulation::Together(emulation::Machine().all, 1, [] {});
}
inline int __syncthreads_or(int flag) {
  namespace emulation = longspan::cuda::emulation;
  emulation::State& m = emulation::Machine();
  m.any_flag |= flag != 0;
  emulation::Together(m.all, 2, [&] {
    m.any_result = m.any_flag;
    m.any_flag = false;
  });
  return m.any_result ? 1 : 0;
}
inline void __syncwarp() {
  namespace emulation = longspan::cuda::emulation;
  emulation::Together(emulation::Warp().group, 3, [] {});
}
inline unsigned __ballot_sync(unsigned /*lanes*/, int predicate) {
  namespace emulation = longspan::cuda::emulation;
  emulation::WarpSlots& warp = emulation::Warp();
  warp.in[emulation::Lane()][0] = predicate != 0 ? 1 : 0;
  emulation::Together(warp.group, 7, [&] {
    uint32_t bits = 0;
    for (int l = 0; l < warp.group.size; ++l) bits |= warp.in[l][0] << l;
    for (int l = 0; l < warp.group.size; ++l) warp.out[l][0] = bits;
  });
  return warp.out[emulation::Lane()][0];
}
template <typename T>
T __shfl_xor_sync(unsigned /*lanes*/, T x, int mask) {
  namespace emulation = longspan::cuda::emulation;
  static_assert(sizeof(T) == 4);
  emulation::WarpSlots& warp = emulation::Warp();
  const int lane = emulation::Lane();
  std::memcpy(&warp.in[lane][0], &x, 4);
  emulation::Together(warp.group, 100 + mask, [&] {
    for (int l = 0; l < emulation::kWarp; ++l) warp.out[l][0] = warp.in[l ^ mask][0];
  });
  std::memcpy(&x, &warp.out[lane][0], 4);
  return x;
}

inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }

// ---- the runtime API, of one device with one multiprocessor ----

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorNotSupported = 801,
};
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount, cudaDevAttrMaxSharedMemoryPerBlockOptin };
enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize,
  cudaFuncAttributePreferredSharedMemoryCarveout,
};
using cudaStream_t = void*;
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "an error of the emulated device";
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMaxSharedMemoryPerBlockOptin
               ? longspan::cuda::emulation::MostShared()
               : 1;
  return cudaSuccess;
}
template <typename... Params>
cudaError_t cudaFuncSetAttribute(void (*)(Params...), cudaFuncAttribute, int) {
  return cudaSuccess;
}
template <typename... Params, typename... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...),
                               Args... args) {
  if (config->dynamicSmemBytes > static_cast<size_t>(longspan::cuda::emulation::MostShared())) {
    return cudaErrorInvalidValue;
  }
  longspan::cuda::emulation::RunGrid(config->gridDim, static_cast<int>(config->blockDim.x),
                                     config->dynamicSmemBytes, [=] { kernel(args...); });
  return cudaSuccess;
}

// ---- CUB ----

namespace cub {

struct DeviceRadixSort {
  template <typename Key, typename Value>
  static cudaError_t SortPairs(void* scratch, size_t& bytes, const Key* keys_in, Key* keys_out,
                               const Value* values_in, Value* values_out, int64_t count,
                               int begin_bit, int end_bit, cudaStream_t = nullptr) {
    const size_t needed = static_cast<size_t>(count) + 1;
    if (scratch == nullptr) {
      bytes = needed;
      return cudaSuccess;
    }
    if (bytes < needed) return cudaErrorInvalidValue;
    const auto digits = [&](int64_t i) {
      return (uint64_t{keys_in[i]} & ((uint64_t{1} << end_bit) - 1)) >> begin_bit;
    };
    std::vector<int64_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), int64_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return digits(a) < digits(b); });
    for (int64_t i = 0; i < count; ++i) {
      keys_out[i] = keys_in[order[static_cast<size_t>(i)]];
      values_out[i] = values_in[order[static_cast<size_t>(i)]];
    }
    return cudaSuccess;
  }
};

}  // namespace cub

// NOLINTEND(bugprone-reserved-identifier)
