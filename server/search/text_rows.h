// TextRows: the token vectors of one text as a pass hands them over, in the order of its text,
// without special tokens and a prompt. A batch that ran out of memory is run again in halves and
// hands in its rows a second time, which changes nothing.
//
//   auto rows = std::make_shared<TextRows>(width, TextRows::kInt8);
//   TextRows::Want(rows, &input);                                    before the text is submitted
//   rows->SetPlaces(prepared.token_places);                          before it is queued
//
// Thread safety: Take may be called for several pieces at once; everything else before the first
// Take or behind the last. Proven by text_rows_test.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/search/token_matrix.h"
#include "server/text/token_places.h"

namespace longspan {

class TextRows {
 public:
  enum Kind {
    kFloat32,  // of a question, which is packed by LateQuestion
    kInt8      // of a document
  };
  TextRows(int64_t width, Kind kind) : width_(width), kind_(kind), matrix_(width) {}

  // Has the text's passes hand their rows to `rows`, and nothing else be made of it.
  static void Want(const std::shared_ptr<TextRows>& rows, EncodeInput* input);
  // Bytes that so many rows take.
  static int64_t BytesOf(int64_t rows, int64_t width, Kind kind);

  void SetPlaces(std::shared_ptr<const TokenPlaces> places) { places_ = std::move(places); }
  const TokenPlaces& places() const { return *places_; }

  // Of piece `piece`: its tokens [first, first + count), [count, width]. May throw std::bad_alloc.
  void Take(int32_t piece, int64_t first, int64_t count, const float* values);

  const TokenMatrix& matrix() const { return matrix_; }         // kInt8
  const std::vector<float>& values() const { return values_; }  // kFloat32: [rows, width]
  void Free();                                                  // the vectors; the places stay

 private:
  void MakeRoom();
  void Set(int64_t row, const float* values, int64_t count);

  const int64_t width_;
  const Kind kind_;
  std::shared_ptr<const TokenPlaces> places_;
  std::once_flag room_;
  TokenMatrix matrix_;
  std::vector<float> values_;
};

}  // namespace longspan
