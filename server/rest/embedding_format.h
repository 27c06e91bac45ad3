// How the APIs of OpenAI, Jina and Cohere write a vector: as numbers, as little-endian float32 in
// base64, or as bytes that stand for fewer bits.
//   int8      value = int8 * scale, where scale is the vector's largest value / 127
//   uint8     the same, plus 128
//   ubinary   a bit a value, 1 where value > 0, the first one in the highest bit, as numpy.packbits
//   binary    the same bytes less 128, as sentence-transformers has them
//
// Free functions without state: thread safe.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "server/wire/vector_format.h"

namespace longspan {

enum class Embedding { kFloats, kBase64, kInt8, kUint8, kBinary, kUbinary };

// Of "float", "base64", "int8", "uint8", "binary" or "ubinary".
Embedding EmbeddingOf(std::string_view name);
// The format of longspan.v1 with as many bytes in the answer.
VectorFormat AnswerFormatOf(Embedding embedding);

// [0.25,-1,...], [12,-127,...] or "AACAPw==".
void AppendEmbedding(std::span<const float> values, Embedding embedding, std::string* out);
// ,"scale":0.002 behind an embedding of kInt8 or kUint8; nothing behind others.
void AppendScale(std::span<const float> values, Embedding embedding, std::string* out);

}  // namespace longspan
