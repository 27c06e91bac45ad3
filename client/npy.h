// The head of numpy's file format, .npy (described with numpy.lib.format). It has a fixed size, so
// that it can be written again in front of the values when their number has grown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace longspan {

inline constexpr size_t kNpyHeadBytes = 128;

// The head of a matrix [rows, columns] in C order. `type` is numpy's name: "<f4" or "<f2".
std::string NpyHead(const std::string& type, int64_t rows, int64_t columns);

}  // namespace longspan
