// TensorArena: memory for large, short-lived buffers, kept between forward passes. A fresh mapping
// costs a page fault per 4 KiB (transformers' Longformer runs 1.6 times faster once its allocator
// stops giving memory back); here a range is mapped once, cut and merged by best fit, and returned
// to the system only when asked.
//
//   | segment 1: 64 MiB                          | segment 2: 96 MiB           |
//   | used 12 | free 20 | used 6 | free 26       | used 96                     |    Allocate(18) takes the 20, the best fit
//
// Thread safe. Blocks are whole pages and start on one. No LibTorch in here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace longspan {

struct ArenaStats {
  int64_t live_bytes = 0;    // handed out
  int64_t free_bytes = 0;    // held, not handed out (resident unless trimmed)
  int64_t peak_bytes = 0;    // highest live_bytes since ResetPeak
  int64_t num_mappings = 0;  // times memory was taken from the system, ever
};

class TensorArena {
 public:
  TensorArena() = default;
  ~TensorArena();
  TensorArena(const TensorArena&) = delete;
  TensorArena& operator=(const TensorArena&) = delete;

  // Null where the system refuses, or where live_bytes would exceed the budget.
  void* Allocate(size_t size);
  // False if `pointer` is none of this arena's blocks (it is left alone).
  bool Free(void* pointer);

  // Returns free memory to the system until at most keep_bytes of it are left, whole segments
  // first.
  void Trim(int64_t keep_bytes);
  // 0 = no bound. What is live already stays.
  void SetBudget(int64_t bytes);

  ArenaStats stats() const;
  void ResetPeak();

 private:
  struct Block {
    size_t size = 0;
    char* segment =
        nullptr;  // start of the mapping it is cut from; neighbours merge only within one
    bool is_free = false;
    bool is_resident = false;  // of a free block: may hold pages
  };
  using Blocks = std::map<char*, Block>;

  bool Grow(size_t size);
  void InsertFree(Blocks::iterator block);
  void EraseFree(Blocks::iterator block);
  Blocks::iterator MergeWithNext(Blocks::iterator block);
  void UnmapFreeSegments(int64_t keep_bytes);

  mutable std::mutex mu_;
  // All below: guarded by mu_.
  Blocks blocks_;                            // every block by address
  std::set<std::pair<size_t, char*>> free_;  // free blocks by size, then address
  std::map<char*, size_t> segments_;         // mappings: start and size
  ArenaStats stats_;
  int64_t resident_free_bytes_ = 0;
  int64_t budget_bytes_ = 0;
};

}  // namespace longspan
