#include "server/collections/collection.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

std::string SettingsText(TokenFormat format, int64_t cell_tokens, const std::string& language) {
  return absl::StrCat(format == TokenFormat::kTwoBit ? "2 bits" : "int8", ", cells of ",
                      cell_tokens, " tokens, words in ", Quoted(language));
}

absl::Status WasDropped() { return absl::AbortedError("the collection was dropped meanwhile"); }

}  // namespace

Collection::Reading::~Reading() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (collection_ != nullptr) collection_->mu_.ReaderUnlock();
}

const KeptIndex& Collection::Reading::index() const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return collection_->documents_->index();
}

std::string_view Collection::Reading::id_of(uint32_t slot) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return collection_->documents_->at(slot).id;
}

Collection::Collection(Parts parts) : parts_(std::move(parts)), documents_(NoDocuments()) {}

absl::StatusOr<std::shared_ptr<Collection>> Collection::Load(Parts parts,
                                                             RecordFile::Opened opened) {
  auto collection = std::make_shared<Collection>(std::move(parts));
  absl::MutexLock writing(&collection->writing_);
  absl::MutexLock lock(&collection->mu_);
  const absl::Time now = collection->parts_.now();
  for (RecordFile::Document& document : opened.documents) {
    if (document.expires <= now) continue;
    const auto text = collection->Parse(document.id, document.text);
    if (!text.ok())
      return OfFile(collection->parts_.path, absl::DataLossError(text.status().message()));
    const auto bytes = static_cast<int64_t>(RecordBytes(document.text.size(), document.id.size()));
    collection->documents_->Put(
        {.id = std::move(document.id),
         .expires = document.expires,
         .charge = collection->parts_.ledger->ChargeAnyway(collection->parts_.owner, bytes),
         .bytes = document.text},
        *text);
  }
  collection->SetFile(std::move(opened.file));
  collection->state_ = State::kLive;
  return collection;
}

std::unique_ptr<KeptDocuments> Collection::NoDocuments() const {
  return std::make_unique<KeptDocuments>(parts_.header.width, parts_.header.cell_tokens);
}

void Collection::SetFile(std::unique_ptr<RecordFile> file) {
  file_ = std::move(file);
  file_bytes_ = file_ == nullptr ? 0 : static_cast<int64_t>(file_->num_bytes());
}

Collection::Reading Collection::Read() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const absl::Time now = parts_.now();
  mu_.ReaderLock();
  while (documents_->first_expiry() <= now) {
    mu_.ReaderUnlock();
    RemoveExpiredAt(now);
    mu_.ReaderLock();
  }
  return Reading(shared_from_this());
}

int64_t Collection::RemoveExpired() { return RemoveExpiredAt(parts_.now()); }

int64_t Collection::RemoveExpiredAt(absl::Time now) {
  {
    absl::ReaderMutexLock lock(&mu_);
    if (documents_->first_expiry() > now) return 0;
  }
  absl::MutexLock lock(&mu_);
  return documents_->RemoveExpired(now);
}

absl::Status Collection::CheckSettings(const CollectionSettings& settings) const {
  const FileHeader& own = parts_.header;
  if (settings.format == own.format && settings.cell_tokens == own.cell_tokens &&
      settings.language == own.language)
    return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("collection ", Quoted(parts_.name), " is kept as ",
                   SettingsText(own.format, own.cell_tokens, own.language), "; got ",
                   SettingsText(settings.format, settings.cell_tokens, settings.language),
                   " (leave out what differs, use another collection, or drop this one)"));
}

absl::StatusOr<KeptText> Collection::Parse(std::string_view id,
                                           std::span<const std::byte> bytes) const {
  auto text = KeptText::Parse(bytes, parts_.header.width);
  if (!text.ok()) {
    return absl::InternalError(
        absl::StrCat("the kept text of id ", Quoted(id), " is wrong: ", text.status().message()));
  }
  if (text->format() == parts_.header.format && text->cell_tokens() == parts_.header.cell_tokens)
    return text;
  return absl::InternalError(
      absl::StrCat("the kept text of id ", Quoted(id), " is of another format or cell length"));
}

absl::Status Collection::CheckTexts(std::span<const PutText> texts) const {
  std::unordered_set<std::string_view> ids;
  for (const PutText& text : texts) {
    if (!ids.insert(text.id).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("id ", Quoted(text.id), " is there twice; allowed: once in a request"));
    }
    if (const auto parsed = Parse(text.id, text.bytes); !parsed.ok()) return parsed.status();
  }
  return absl::OkStatus();
}

absl::StatusOr<PutCounts> Collection::Put(const CollectionSettings& settings,
                                          std::span<const PutText> texts, absl::Time expires) {
  absl::MutexLock writing(&writing_);
  if (is_dropped()) return WasDropped();
  absl::Status status = CheckSettings(settings);
  if (status.ok()) status = CheckTexts(texts);
  auto counts = status.ok() ? PutLocked(texts, expires) : status;
  if (counts.ok()) {
    state_ = State::kLive;
  } else if (!is_live()) {
    state_ = State::kDropped;
  }
  return counts;
}

absl::StatusOr<PutCounts> Collection::PutLocked(std::span<const PutText> texts,
                                                absl::Time expires) {
  RemoveExpired();
  auto charge = Charge(texts);
  if (!charge.ok()) return charge.status();
  auto documents = Store(texts, expires);
  if (!documents.ok()) return documents.status();
  std::vector<KeptText> parsed;
  for (size_t i = 0; i < texts.size(); ++i) {
    KeptDocument& document = (*documents)[i];
    document.charge = charge->Split(BytesOfDocument(texts[i]));
    auto text = Parse(document.id, document.bytes);
    if (!text.ok()) return text.status();  // the disk gave back other bytes than it was given
    parsed.push_back(*std::move(text));
  }
  PutCounts counts;
  absl::MutexLock lock(&mu_);
  for (size_t i = 0; i < parsed.size(); ++i) {
    const bool replaces = documents_->Put(std::move((*documents)[i]), parsed[i]);
    ++(replaces ? counts.replaced : counts.added);
  }
  counts.documents = documents_->num_documents();
  counts.tokens = documents_->index().num_rows();
  counts.bytes = documents_->num_bytes();
  return counts;
}

absl::StatusOr<ByteCharge> Collection::Charge(std::span<const PutText> texts) const {
  int64_t bytes = 0, soon_freed = 0;
  absl::ReaderMutexLock lock(&mu_);
  for (const PutText& text : texts) {
    bytes += BytesOfDocument(text);
    if (const KeptDocument* old = documents_->Find(text.id); old != nullptr)
      soon_freed += old->charge.bytes();
  }
  return parts_.ledger->Charge(parts_.owner, bytes, soon_freed);
}

int64_t Collection::BytesOf(std::span<const std::string> ids) const {
  int64_t bytes = 0;
  absl::ReaderMutexLock lock(&mu_);
  for (const std::string& id : ids) {
    if (const KeptDocument* document = documents_->Find(id); document != nullptr)
      bytes += document->charge.bytes();
  }
  return bytes;
}

absl::StatusOr<std::vector<KeptDocument>> Collection::Store(std::span<const PutText> texts,
                                                            absl::Time expires) {
  std::vector<KeptDocument> documents;
  std::vector<RecordFile::Put> puts;
  for (const PutText& text : texts) {
    documents.push_back({.id = text.id, .expires = expires});
    if (!parts_.path.empty()) {
      puts.push_back({.id = text.id, .text = text.bytes, .expires = expires});
    } else {
      documents.back().block = TextBlock(text.bytes);
      documents.back().bytes = documents.back().block.text();
    }
  }
  if (parts_.path.empty()) return documents;
  const auto stored = StoreInFile(puts);
  if (!stored.ok()) return stored.status();
  for (size_t i = 0; i < documents.size(); ++i) documents[i].bytes = (*stored)[i];
  return documents;
}

absl::StatusOr<std::vector<RecordFile::Text>> Collection::StoreInFile(
    std::span<const RecordFile::Put> puts) {
  if (file_ == nullptr) {
    auto created = RecordFile::Create(parts_.path, parts_.header, puts);
    if (!created.ok()) return created.status();
    SetFile(std::move(created->file));
    return std::move(created->texts);
  }
  if (puts.empty()) return std::vector<RecordFile::Text>();
  auto texts = file_->Append({.puts = puts});
  file_bytes_ = static_cast<int64_t>(file_->num_bytes());
  return texts;
}

std::vector<std::string> Collection::ThoseThatAreThere(std::span<const std::string> ids) const {
  std::vector<std::string> there;
  std::unordered_set<std::string_view> seen;
  absl::ReaderMutexLock lock(&mu_);
  for (const std::string& id : ids) {
    if (documents_->Find(id) != nullptr && seen.insert(id).second) there.push_back(id);
  }
  return there;
}

absl::StatusOr<int64_t> Collection::Delete(std::span<const std::string> ids) {
  absl::MutexLock writing(&writing_);
  if (!is_live()) return WasDropped();
  RemoveExpired();
  const std::vector<std::string> there = ThoseThatAreThere(ids);
  if (there.empty()) return int64_t{0};
  if (file_ != nullptr) {
    const auto appended = file_->Append({.deletes = there});
    if (!appended.ok()) return appended.status();
    file_bytes_ = static_cast<int64_t>(file_->num_bytes());
  }
  absl::MutexLock lock(&mu_);
  for (const std::string& id : there) documents_->Remove(id);
  return static_cast<int64_t>(there.size());
}

absl::Status Collection::Drop() {
  absl::MutexLock writing(&writing_);
  if (!is_live()) return WasDropped();
  if (file_ != nullptr) {
    if (absl::Status status = file_->Remove(); !status.ok()) return status;
  }
  state_ = State::kDropped;
  std::unique_ptr<KeptDocuments> documents = NoDocuments();
  {
    absl::MutexLock lock(&mu_);
    documents_.swap(documents);
  }
  documents.reset();
  SetFile(nullptr);
  return absl::OkStatus();
}

bool Collection::IsWasteful() const {
  if (!is_live() || file_ == nullptr || !file_->writable().ok()) return false;
  absl::ReaderMutexLock lock(&mu_);
  const int64_t kept = documents_->num_bytes();
  const auto all = static_cast<int64_t>(file_->num_bytes() - file_->header_bytes());
  return all - kept > std::max(kept, parts_.least_waste);
}

std::optional<std::string> Collection::Compact() {
  absl::MutexLock writing(&writing_);
  if (!IsWasteful()) return std::nullopt;
  // Copies: what expires meanwhile goes away.
  std::vector<std::string> ids;
  std::vector<RecordFile::Put> puts;
  {
    absl::ReaderMutexLock lock(&mu_);
    for (const KeptDocument* document : documents_->all()) {
      ids.push_back(document->id);
      puts.push_back({.text = document->bytes, .expires = document->expires});
    }
  }
  for (size_t i = 0; i < ids.size(); ++i) puts[i].id = ids[i];
  const int64_t before = file_bytes_;
  auto created = file_->Rewrite(puts);
  absl::Status status = created.status();
  if (status.ok()) status = MoveTo(*std::move(created), puts);
  if (!status.ok()) return absl::StrCat(parts_.path, ": cannot be compacted: ", status.message());
  return absl::StrCat(parts_.path, ": compacted from ", before, " to ", file_bytes_.load(),
                      " bytes");
}

absl::Status Collection::MoveTo(RecordFile::Created created,
                                std::span<const RecordFile::Put> puts) {
  std::unique_ptr<KeptDocuments> documents = NoDocuments();
  for (size_t i = 0; i < puts.size(); ++i) {
    const auto text = Parse(puts[i].id, created.texts[i]);
    if (!text.ok()) return text.status();
    documents->Put(
        {.id = std::string(puts[i].id), .expires = puts[i].expires, .bytes = created.texts[i]},
        *text);
  }
  {
    absl::MutexLock lock(&mu_);
    documents->TakeCharges(documents_.get());
    documents_.swap(documents);
  }
  documents.reset();  // before the file in which they lie
  SetFile(std::move(created.file));
  return absl::OkStatus();
}

CollectionInfo Collection::Info() const {
  absl::ReaderMutexLock lock(&mu_);
  return {.name = parts_.name,
          .documents = documents_->num_documents(),
          .tokens = documents_->index().num_rows(),
          .bytes = documents_->num_bytes(),
          .on_disk_bytes = file_bytes_,
          .settings = {.format = parts_.header.format,
                       .cell_tokens = parts_.header.cell_tokens,
                       .language = parts_.header.language}};
}

}  // namespace longspan
