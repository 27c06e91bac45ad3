// Memory policy of the process: where tensors live, how much they may take, and when their memory
// goes back to the system.
//
// Tensors of 64 KiB and more live in one TensorArena of the process. Smaller ones, and everything
// that is no tensor, stay with malloc. A warm forward pass therefore maps no memory (memory_test
// proves it). An allocation that does not fit, because of the budget or because the system refuses
// it, throws c10::OutOfMemoryError; Encoder answers it with RESOURCE_EXHAUSTED and the process
// lives on.
//
// All functions are thread safe.
#pragma once

#include <cstdint>

namespace longspan {

// Makes the arena LibTorch's CPU allocator. Encoder::Load calls it; calls after the first do
// nothing. Tensors that were made before keep their own memory and are freed correctly.
void InstallTensorAllocator();

// What tensors may take where the container may have `limit` bytes, of which `used` are taken
// before the model is loaded: 90 % of the limit, but no more than what is left beside those, 16 MiB
// for texts, answers and buffers, and what the products take that oneDNN keeps set up
// (runtime_environment.h). Zero or less: there is no room for a model.
int64_t TensorBudget(int64_t limit, int64_t used);

// Resident memory of this process that no file holds, in bytes; 0 where /proc does not tell.
int64_t ResidentPrivateBytes();

// Bytes that malloc has given out and not got back, tensors of the arena not counted. It walks the
// free lists of malloc: for a look a few times a second. 0 where another allocator is linked
// (sanitizers).
int64_t HeapBytesInUse();

// The upper bound of tensor memory in bytes, weights included; 0 = no bound (the default). An
// allocation beyond it throws.
void SetMemoryBudget(int64_t bytes);

struct MemoryStats {
  int64_t live_bytes = 0;    // tensors of 64 KiB and more, weights included
  int64_t cached_bytes = 0;  // held for the next pass
  int64_t peak_bytes = 0;    // highest live_bytes since the last MemoryPass began
  // How often the arena has taken memory from the system since the process began. It stays the same
  // while the process is warm.
  int64_t num_mappings = 0;
};
MemoryStats GetMemoryStats();

// Gives cached memory beyond keep_bytes back to the system, and malloc's free memory with it. For a
// worker that is idle.
void TrimMemory(int64_t keep_bytes = 0);

// Gives malloc's free memory back to the system; what is cached for tensors stays.
void TrimHeap();

// Blocks of 64 KiB and more get mappings of their own, which go back to the system as they are
// freed, and of which only what was written to is resident. By itself malloc begins at 128 KiB and
// raises this bound up to 32 MiB with the blocks that it sees freed, so that after some large
// messages all of their pieces stay in its heaps. gRPC reads large messages into blocks of 64 KiB
// and keeps the last ones, a MiB or so, for each idle connection. For a server, before its threads
// start. Costs 1.5 ms for each MiB of messages.
void MapLargeBlocks();

// Stands around one forward pass. Where the pass needed more than twice what passes usually need,
// its end trims the cache to the usual size, so that one text of 64K tokens does not leave its
// memory behind. A run of such passes becomes the usual case and is left alone.
class MemoryPass {
 public:
  MemoryPass();
  ~MemoryPass();
  MemoryPass(const MemoryPass&) = delete;
  MemoryPass& operator=(const MemoryPass&) = delete;

 private:
  int64_t live_before_ = 0;
};

}  // namespace longspan
