// How consecutive segments of rows are cut into chunks, and where the results of chunks lie. Plain
// functions of integers for kernels and for the processor, so that tests run the very same code.
//
// A segment's chunks have kSegmentChunk rows from its first row on, the last one what is left. Each
// chunk has a slot, and each chunk of a segment of several has a place for its results, until they
// are added. Both follow from the segment's number and first row, so that no chunks are counted.
// With C = kSegmentChunk, chunk c of segment s that begins at row o has
//
//   slot   o / C + s + c   A segment of l rows has at most (o + l) / C - o / C + 1 chunks, so that
//                          the slots of the next one begin behind.
//   place  2 o / C + c     For l > C it has at most 2 (o + l) / C - 2 o / C chunks, so that the
//                          places of the next one begin behind.
//
//   C = 4, segments of 9, 2, 1, 5 rows:  first rows     0        9   11   12        (end 17)
//                                        slots          0 1 2    3   4    6 7       (5 is empty)
//                                        places         0 1 2              6 7
//
// Proven by segment_chunks_test.
#pragma once

#include <cstdint>

#include "core/cuda/kernels/host_device.h"
#include "core/cuda/kernels/sorted_search.h"

namespace longspan::cuda {

inline constexpr int kSegmentChunk = 128;

// What a slot holds. The layout is that of 16 aligned bytes in the device's memory.
struct alignas(16) SegmentSlot {
  int64_t row;     // the chunk's first
  int32_t rows;    // of the chunk; 0 = the slot is empty
  int32_t target;  // the segment of a chunk that is all of it, or -1 - place of another
};

LONGSPAN_HOST_DEVICE int64_t NumSegmentSlots(int64_t num_rows, int64_t num_segments) {
  return num_rows / kSegmentChunk + num_segments;
}
LONGSPAN_HOST_DEVICE int64_t NumSegmentPlaces(int64_t num_rows) {
  return num_rows > kSegmentChunk ? 2 * num_rows / kSegmentChunk : 0;
}
LONGSPAN_HOST_DEVICE int64_t NumSegmentChunks(int64_t length) {
  return (length + kSegmentChunk - 1) / kSegmentChunk;
}

// offsets [num_segments + 1]: first rows of the segments, and the end.
LONGSPAN_HOST_DEVICE SegmentSlot SegmentSlotAt(const int64_t* offsets, int32_t num_segments,
                                               int64_t slot) {
  const int32_t segment =
      FirstPlace(1, num_segments,
                 [&](int32_t s) { return offsets[s] / kSegmentChunk + s > slot; }) -
      1;
  const int64_t begin = offsets[segment], length = offsets[segment + 1] - begin;
  const int64_t chunk = slot - (begin / kSegmentChunk + segment);
  if (chunk >= NumSegmentChunks(length)) return {begin, 0, segment};
  const int64_t left = length - chunk * kSegmentChunk;
  const int64_t place = 2 * begin / kSegmentChunk + chunk;
  return {begin + chunk * kSegmentChunk,
          static_cast<int32_t>(left < kSegmentChunk ? left : kSegmentChunk),
          length <= kSegmentChunk ? segment : -1 - static_cast<int32_t>(place)};
}

// The segment of several chunks whose first chunk has this place, or -1. Of the segments with such
// a number only the last can have several.
LONGSPAN_HOST_DEVICE int32_t SegmentThatBeginsAt(const int64_t* offsets, int32_t num_segments,
                                                 int64_t place) {
  const int32_t segment =
      FirstPlace(1, num_segments,
                 [&](int32_t s) { return 2 * offsets[s] / kSegmentChunk > place; }) -
      1;
  const int64_t begin = offsets[segment], length = offsets[segment + 1] - begin;
  return 2 * begin / kSegmentChunk == place && length > kSegmentChunk ? segment : -1;
}

}  // namespace longspan::cuda
