#include "server/collections/kept_documents.h"

#include <cstring>

namespace longspan {

TextBlock::TextBlock(std::span<const std::byte> text)
    : bytes_(static_cast<std::byte*>(::operator new(text.size(), kAlignment))),
      num_bytes_(text.size()) {
  std::memcpy(bytes_.get(), text.data(), text.size());
}

bool KeptDocuments::Put(KeptDocument document, const KeptText& text) {
  const bool replaces = Remove(document.id);
  auto entry = std::make_unique<Entry>(Entry{.document = std::move(document)});
  entry->slot = index_.Add(text);
  const KeptDocument& kept = entry->document;
  if (by_slot_.size() <= entry->slot) by_slot_.resize(entry->slot + 1, nullptr);
  by_slot_[entry->slot] = &kept;
  if (kept.expires != absl::InfiniteFuture()) expiries_.emplace(kept.expires, entry->slot);
  num_bytes_ += kept.charge.bytes();
  by_id_.emplace(kept.id, std::move(entry));
  return replaces;
}

bool KeptDocuments::Remove(std::string_view id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return false;
  Remove(found);
  return true;
}

void KeptDocuments::Remove(Entries::iterator found) {
  // Dies last: the key of the map is inside.
  const std::unique_ptr<Entry> entry = std::move(found->second);
  by_id_.erase(found);
  index_.Remove(entry->slot);
  by_slot_[entry->slot] = nullptr;
  expiries_.erase({entry->document.expires, entry->slot});
  num_bytes_ -= entry->document.charge.bytes();
}

int64_t KeptDocuments::RemoveExpired(absl::Time now) {
  int64_t count = 0;
  for (; first_expiry() <= now; ++count) Remove(by_slot_[expiries_.begin()->second]->id);
  return count;
}

void KeptDocuments::TakeCharges(KeptDocuments* from) {
  for (const KeptDocument* document : all()) {
    const auto given = from->by_id_.find(document->id);
    if (given == from->by_id_.end()) {
      Remove(document->id);
      continue;
    }
    ByteCharge& charge = by_id_.find(document->id)->second->document.charge;
    charge = std::move(given->second->document.charge);
    num_bytes_ += charge.bytes();
    from->num_bytes_ -= charge.bytes();
  }
}

const KeptDocument* KeptDocuments::Find(std::string_view id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second->document;
}

absl::Time KeptDocuments::first_expiry() const {
  return expiries_.empty() ? absl::InfiniteFuture() : expiries_.begin()->first;
}

std::vector<const KeptDocument*> KeptDocuments::all() const {
  std::vector<const KeptDocument*> documents;
  documents.reserve(by_id_.size());
  for (const KeptDocument* document : by_slot_) {
    if (document != nullptr) documents.push_back(document);
  }
  return documents;
}

}  // namespace longspan
