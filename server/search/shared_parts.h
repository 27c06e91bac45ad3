// ForEachPartOn: a step in many parts, shared by the thread that calls and those of the tokenizer
// pool that have time. The caller takes parts, too, and never waits for a thread that has not
// begun, so a busy pool makes a step slower and never stops it.
//
// Thread safety: from any thread, also one of the pool. Proven by shared_parts_test.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "server/engine/tokenizer_pool.h"

namespace longspan {

// Calls `part` with 0 .. parts - 1, each once, and returns when all have returned. What one of them
// throws is thrown again here, after that; parts that have not begun are then left out.
// `helpers`: jobs at most that are handed to the pool, in the name of `client`.
void ForEachPartOn(TokenizerPool* pool, const std::string& client, int64_t helpers, int64_t parts,
                   const std::function<void(int64_t)>& part);

}  // namespace longspan
