// ReceivedBody: the body of a request that is coming in, under a budget that all connections share.
// The budget counts memory that is there, not what was announced: a peer that announces much and
// sends nothing takes nothing from others.
//
// Thread safety: BodyBudget from any thread; ReceivedBody none.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace longspan {

class BodyBudget {
 public:
  explicit BodyBudget(int64_t most) : most_(most) {}
  bool TryTake(int64_t bytes) {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= most_) return true;
    GiveBack(bytes);
    return false;
  }
  void GiveBack(int64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  int64_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  const int64_t most_;
  std::atomic<int64_t> used_ = 0;
};

// A part of a budget, given back at the end of its life.
class BodyShare {
 public:
  BodyShare() = default;
  explicit BodyShare(std::shared_ptr<BodyBudget> budget) : budget_(std::move(budget)) {}
  BodyShare(BodyShare&& other) noexcept
      : budget_(std::move(other.budget_)), bytes_(std::exchange(other.bytes_, 0)) {}
  BodyShare& operator=(BodyShare&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~BodyShare() { Release(); }

  bool GrowTo(int64_t bytes) {
    if (bytes <= bytes_) return true;
    if (!budget_->TryTake(bytes - bytes_)) return false;
    bytes_ = bytes;
    return true;
  }
  // To more or fewer bytes. False, and nothing changes, where the budget is spent.
  bool Resize(int64_t bytes) {
    if (bytes >= bytes_) return GrowTo(bytes);
    budget_->GiveBack(bytes_ - bytes);
    bytes_ = bytes;
    return true;
  }
  void Release() {
    if (budget_ != nullptr) budget_->GiveBack(std::exchange(bytes_, 0));
  }

 private:
  std::shared_ptr<BodyBudget> budget_;
  int64_t bytes_ = 0;
};

class ReceivedBody {
 public:
  explicit ReceivedBody(std::shared_ptr<BodyBudget> budget)
      : budget_(std::move(budget)), share_(budget_) {}

  // `expected`: bytes of the whole, where that is known; else 0. False where the budget is spent.
  bool Append(std::string_view data, int64_t expected) {
    const size_t needed = bytes_.size() + data.size();
    if (needed > bytes_.capacity()) {
      // Memory doubles, so that each byte is moved once on average, but not beyond the whole.
      size_t capacity = std::max({needed, 2 * bytes_.capacity(), kFirstBytes});
      if (expected > 0) capacity = std::max(needed, std::min(capacity, size_t(expected)));
      if (!share_.GrowTo(static_cast<int64_t>(capacity))) return false;
      bytes_.reserve(capacity);
    }
    bytes_.append(data);
    return true;
  }
  // The body, with its share of the budget; this object is empty again.
  std::pair<std::string, BodyShare> Take() {
    std::pair<std::string, BodyShare> taken(std::exchange(bytes_, {}), std::move(share_));
    share_ = BodyShare(budget_);
    return taken;
  }
  void Clear() { (void)Take(); }

 private:
  static constexpr size_t kFirstBytes = 16 << 10;

  std::shared_ptr<BodyBudget> budget_;
  std::string bytes_;
  BodyShare share_;
};

}  // namespace longspan
