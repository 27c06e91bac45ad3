// KeptDocuments: the documents of a collection as they are searched: by slot of the index, by id,
// and by the moment at which they expire.
//
// The bytes of a text are its own (a TextBlock, where collections lie in memory) or somebody
// else's, who keeps them for as long as the document is here (a file).
//
// Thread safety: const methods from several threads; the others alone. Proven by collections_test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/search/kept_index.h"
#include "core/search/kept_text.h"
#include "server/collections/byte_ledger.h"

namespace longspan {

// Bytes of its own at a multiple of 64, a line of the processor's cache. Move only.
class TextBlock {
 public:
  TextBlock() = default;  // holds nothing
  explicit TextBlock(std::span<const std::byte> text);

  std::span<const std::byte> text() const { return {bytes_.get(), num_bytes_}; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(std::byte* bytes) const { ::operator delete(bytes, kAlignment); }
  };
  std::unique_ptr<std::byte, Free> bytes_;
  size_t num_bytes_ = 0;
};

struct KeptDocument {
  std::string id;
  absl::Time expires;
  ByteCharge charge;
  std::span<const std::byte> bytes;  // those of `block`, or of a file
  TextBlock block;
};

class KeptDocuments {
 public:
  KeptDocuments(int64_t width, int64_t cell_tokens) : index_(width, cell_tokens) {}
  KeptDocuments(const KeptDocuments&) = delete;
  KeptDocuments& operator=(const KeptDocuments&) = delete;

  // `text` is what document.bytes hold. True where a document of the same id gave way.
  bool Put(KeptDocument document, const KeptText& text);
  // False where there is none.
  bool Remove(std::string_view id);
  // Those of which the moment has come; returns how many.
  int64_t RemoveExpired(absl::Time now);
  // For documents that were put without charges: takes those of the same ids in `from`. A document
  // that is not there is removed.
  void TakeCharges(KeptDocuments* from);

  const KeptIndex& index() const { return index_; }
  // The slot of a text of the index.
  const KeptDocument& at(uint32_t slot) const { return *by_slot_[slot]; }
  const KeptDocument* Find(std::string_view id) const;
  // InfiniteFuture where none ever does.
  absl::Time first_expiry() const;
  int64_t num_documents() const { return static_cast<int64_t>(by_id_.size()); }
  int64_t num_bytes() const { return num_bytes_; }  // as charged
  // In the order of their slots.
  std::vector<const KeptDocument*> all() const;

 private:
  struct Entry {
    KeptDocument document;
    uint32_t slot = 0;
  };
  // The keys are the ids inside the entries.
  using Entries = std::unordered_map<std::string_view, std::unique_ptr<Entry>>;
  void Remove(Entries::iterator found);

  KeptIndex index_;
  Entries by_id_;
  std::vector<const KeptDocument*> by_slot_;            // null = the slot is free
  std::set<std::pair<absl::Time, uint32_t>> expiries_;  // moment, slot; those that expire at all
  int64_t num_bytes_ = 0;
};

}  // namespace longspan
