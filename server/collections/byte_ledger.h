// ByteLedger: what all kept documents take together, and those of each owner, against the limits.
// What is counted is held by ByteCharges and given back by their destruction, so that it cannot
// leak.
//
// Thread safety: all methods may be called from any thread; a charge by one at a time. A charge
// keeps its ledger alive. Proven by collections_test.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace longspan {

class ByteLedger;

// Move only; the destructor gives the bytes back.
class ByteCharge {
 public:
  ByteCharge() = default;  // holds nothing
  ByteCharge(ByteCharge&& other) noexcept { *this = std::move(other); }
  ByteCharge& operator=(ByteCharge&& other) noexcept;
  ~ByteCharge();

  int64_t bytes() const { return bytes_; }
  // A charge of its own for so many of the bytes that this one holds.
  ByteCharge Split(int64_t bytes);

 private:
  friend class ByteLedger;
  ByteCharge(std::shared_ptr<ByteLedger> ledger, std::string owner, int64_t bytes);

  std::shared_ptr<ByteLedger> ledger_;
  std::string owner_;
  int64_t bytes_ = 0;
};

class ByteLedger : public std::enable_shared_from_this<ByteLedger> {
 public:
  ByteLedger(int64_t max_bytes, int64_t max_bytes_of_owner)
      : max_bytes_(max_bytes), max_bytes_of_owner_(max_bytes_of_owner) {}

  // RESOURCE_EXHAUSTED with a reason where a limit would be passed once `soon_freed` bytes, which
  // the new ones replace, are given back.
  absl::StatusOr<ByteCharge> Charge(const std::string& owner, int64_t bytes, int64_t soon_freed);
  // Whether Charge would refuse `bytes` or more.
  absl::Status Check(const std::string& owner, int64_t bytes, int64_t soon_freed) const;
  // Of what is there already; the limits may be passed.
  ByteCharge ChargeAnyway(const std::string& owner, int64_t bytes);

  int64_t bytes() const;

 private:
  friend class ByteCharge;
  // `wanted` names the bytes in a refusal.
  absl::Status CheckLocked(const std::string& owner, int64_t bytes, int64_t soon_freed,
                           absl::string_view wanted) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void GiveBack(const std::string& owner, int64_t bytes);

  const int64_t max_bytes_, max_bytes_of_owner_;
  mutable absl::Mutex mu_;
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, int64_t> bytes_of_owner_ ABSL_GUARDED_BY(mu_);  // none has no entry
};

}  // namespace longspan
