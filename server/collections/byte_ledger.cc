#include "server/collections/byte_ledger.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/error_details.h"

namespace longspan {
namespace {

absl::Status Refusal(int64_t kept, absl::string_view wanted, int64_t freed, int64_t allowed,
                     absl::string_view whose, std::string_view reason) {
  // The limit's name is that of the setting.
  const std::string setting = absl::AsciiStrToLower(
      absl::StrReplaceAll(absl::string_view(reason.data(), reason.size()), {{"_", "-"}}));
  const std::string replaced = freed == 0 ? "" : absl::StrCat(" in the place of ", freed, " bytes");
  return WithReason(
      absl::ResourceExhaustedError(absl::StrCat(
          whose, " take ", kept, " bytes, and these would take ", wanted, " more", replaced,
          "; allowed: ", allowed, " (delete documents or collections, or raise --", setting, ")")),
      reason);
}

}  // namespace

ByteCharge::ByteCharge(std::shared_ptr<ByteLedger> ledger, std::string owner, int64_t bytes)
    : ledger_(std::move(ledger)), owner_(std::move(owner)), bytes_(bytes) {}

ByteCharge& ByteCharge::operator=(ByteCharge&& other) noexcept {
  std::swap(ledger_, other.ledger_);
  std::swap(owner_, other.owner_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

ByteCharge::~ByteCharge() {
  if (bytes_ > 0) ledger_->GiveBack(owner_, bytes_);
}

ByteCharge ByteCharge::Split(int64_t bytes) {
  bytes_ -= bytes;
  return {ledger_, owner_, bytes};
}

absl::Status ByteLedger::CheckLocked(const std::string& owner, int64_t bytes, int64_t soon_freed,
                                     absl::string_view wanted) const {
  const auto of_owner = bytes_of_owner_.find(owner);
  const int64_t kept_of_owner = of_owner == bytes_of_owner_.end() ? 0 : of_owner->second;
  // What does not grow is let in, though a limit was lowered meanwhile.
  const int64_t growth = bytes - soon_freed;
  if (growth > 0 && bytes_ + growth > max_bytes_) {
    return Refusal(bytes_, wanted, soon_freed, max_bytes_, "all kept documents",
                   kReasonMaxCollectionBytes);
  }
  if (growth > 0 && kept_of_owner + growth > max_bytes_of_owner_) {
    return Refusal(kept_of_owner, wanted, soon_freed, max_bytes_of_owner_,
                   "the documents of this key", kReasonMaxCollectionBytesPerKey);
  }
  return absl::OkStatus();
}

absl::Status ByteLedger::Check(const std::string& owner, int64_t bytes, int64_t soon_freed) const {
  absl::MutexLock lock(&mu_);
  return CheckLocked(owner, bytes, soon_freed, absl::StrCat("at least ", bytes));
}

absl::StatusOr<ByteCharge> ByteLedger::Charge(const std::string& owner, int64_t bytes,
                                              int64_t soon_freed) {
  absl::MutexLock lock(&mu_);
  const absl::Status status = CheckLocked(owner, bytes, soon_freed, absl::StrCat(bytes));
  if (!status.ok()) return status;
  bytes_ += bytes;
  bytes_of_owner_[owner] += bytes;
  return ByteCharge(shared_from_this(), owner, bytes);
}

ByteCharge ByteLedger::ChargeAnyway(const std::string& owner, int64_t bytes) {
  absl::MutexLock lock(&mu_);
  bytes_ += bytes;
  bytes_of_owner_[owner] += bytes;
  return {shared_from_this(), owner, bytes};
}

void ByteLedger::GiveBack(const std::string& owner, int64_t bytes) {
  absl::MutexLock lock(&mu_);
  bytes_ -= bytes;
  const auto found = bytes_of_owner_.find(owner);
  found->second -= bytes;
  if (found->second == 0) bytes_of_owner_.erase(found);
}

int64_t ByteLedger::bytes() const {
  absl::MutexLock lock(&mu_);
  return bytes_;
}

}  // namespace longspan
