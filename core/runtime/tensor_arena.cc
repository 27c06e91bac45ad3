#include "core/runtime/tensor_arena.h"

#include <sys/mman.h>

#include <algorithm>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace longspan {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSmallestSegment = size_t{32} << 20;  // few mappings, even for small passes

size_t RoundUp(size_t size, size_t multiple) { return (size + multiple - 1) / multiple * multiple; }

// A mapping of `size` bytes that starts on a huge page; null where the system refuses it.
char* MapAligned(size_t size) {
  void* mapped = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* const begin = static_cast<char*>(mapped);
  const auto address = reinterpret_cast<size_t>(begin);
  char* const aligned = begin + (RoundUp(address, kHugePage) - address);
  if (aligned > begin) munmap(begin, aligned - begin);
  munmap(aligned + size, kHugePage - (aligned - begin));
  madvise(aligned, size, MADV_HUGEPAGE);  // one page fault per 2 MiB where the system allows it
  return aligned;
}

}  // namespace

TensorArena::~TensorArena() {
  for (const auto& [start, size] : segments_) {
    ASAN_UNPOISON_MEMORY_REGION(start, size);
    munmap(start, size);
  }
}

void TensorArena::InsertFree(Blocks::iterator block) {
  block->second.is_free = true;
  free_.emplace(block->second.size, block->first);
  stats_.free_bytes += static_cast<int64_t>(block->second.size);
  if (block->second.is_resident) resident_free_bytes_ += static_cast<int64_t>(block->second.size);
}

void TensorArena::EraseFree(Blocks::iterator block) {
  block->second.is_free = false;
  free_.erase({block->second.size, block->first});
  stats_.free_bytes -= static_cast<int64_t>(block->second.size);
  if (block->second.is_resident) resident_free_bytes_ -= static_cast<int64_t>(block->second.size);
}

bool TensorArena::Grow(size_t size) {
  // No free block is large enough. Segments that are free as a whole go back to the system, and the
  // new segment is larger by their size. So outgrown segments do not pile up, and after a few
  // passes one segment holds a whole pass and nothing has to grow again.
  const int64_t free_before = stats_.free_bytes;
  UnmapFreeSegments(0);
  size = std::max(kSmallestSegment,
                  RoundUp(size + static_cast<size_t>(free_before - stats_.free_bytes), kHugePage));
  char* const start = MapAligned(size);
  if (start == nullptr) return false;
  ++stats_.num_mappings;
  segments_[start] = size;
  ASAN_POISON_MEMORY_REGION(start, size);
  InsertFree(blocks_.emplace(start, Block{.size = size, .segment = start}).first);
  return true;
}

void* TensorArena::Allocate(size_t size) {
  const size_t rounded = RoundUp(std::max<size_t>(size, 1), kPage);
  const std::lock_guard lock(mu_);
  if (rounded < size) return nullptr;  // overflow
  if (budget_bytes_ > 0 && (rounded > static_cast<size_t>(budget_bytes_) ||
                            stats_.live_bytes + static_cast<int64_t>(rounded) > budget_bytes_))
    return nullptr;
  auto fit = free_.lower_bound({rounded, nullptr});
  if (fit == free_.end()) {
    if (!Grow(rounded)) return nullptr;
    fit = free_.lower_bound({rounded, nullptr});
  }
  const auto block = blocks_.find(fit->second);
  EraseFree(block);
  if (const size_t rest = block->second.size - rounded; rest > 0) {
    block->second.size = rounded;
    InsertFree(blocks_
                   .emplace(block->first + rounded,
                            Block{rest, block->second.segment, false, block->second.is_resident})
                   .first);
  }
  stats_.live_bytes += static_cast<int64_t>(rounded);
  stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes);
  ASAN_UNPOISON_MEMORY_REGION(block->first, size);
  return block->first;
}

// Joins a free block with the block behind it where that is free too and of the same segment.
TensorArena::Blocks::iterator TensorArena::MergeWithNext(Blocks::iterator block) {
  const auto next = std::next(block);
  if (next == blocks_.end() || !next->second.is_free ||
      next->second.segment != block->second.segment)
    return block;
  EraseFree(block);
  EraseFree(next);
  block->second.size += next->second.size;
  block->second.is_resident |= next->second.is_resident;
  blocks_.erase(next);
  InsertFree(block);
  return block;
}

bool TensorArena::Free(void* pointer) {
  const std::lock_guard lock(mu_);
  auto block = blocks_.find(static_cast<char*>(pointer));
  if (block == blocks_.end() || block->second.is_free) return false;
  ASAN_POISON_MEMORY_REGION(block->first, block->second.size);
  stats_.live_bytes -= static_cast<int64_t>(block->second.size);
  block->second.is_resident = true;
  InsertFree(block);
  block = MergeWithNext(block);
  if (block != blocks_.begin() && std::prev(block)->second.is_free) MergeWithNext(std::prev(block));
  return true;
}

void TensorArena::UnmapFreeSegments(int64_t keep_bytes) {
  for (auto segment = segments_.begin();
       segment != segments_.end() && stats_.free_bytes > keep_bytes;) {
    const auto [start, size] = *segment;
    const auto block = blocks_.find(start);
    if (!block->second.is_free || block->second.size != size) {
      ++segment;
      continue;
    }
    EraseFree(block);
    blocks_.erase(block);
    ASAN_UNPOISON_MEMORY_REGION(start, size);
    munmap(start, size);
    segment = segments_.erase(segment);
  }
}

void TensorArena::Trim(int64_t keep_bytes) {
  const std::lock_guard lock(mu_);
  UnmapFreeSegments(keep_bytes);
  // The largest blocks first, so that few system calls give back most.
  for (auto entry = free_.rbegin(); entry != free_.rend() && resident_free_bytes_ > keep_bytes;
       ++entry) {
    Block& block = blocks_.find(entry->second)->second;
    if (!block.is_resident) continue;
    madvise(entry->second, block.size, MADV_DONTNEED);
    block.is_resident = false;
    resident_free_bytes_ -= static_cast<int64_t>(block.size);
  }
}

void TensorArena::SetBudget(int64_t bytes) {
  const std::lock_guard lock(mu_);
  budget_bytes_ = bytes;
}

ArenaStats TensorArena::stats() const {
  const std::lock_guard lock(mu_);
  return stats_;
}

void TensorArena::ResetPeak() {
  const std::lock_guard lock(mu_);
  stats_.peak_bytes = stats_.live_bytes;
}

}  // namespace longspan
