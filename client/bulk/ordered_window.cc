#include "client/bulk/ordered_window.h"

#include <string>
#include <utility>

namespace longspan {

bool OrderedWindow::HasRoom() const {
  if (stopped_) return true;
  const bool none_waits = text_bytes_ == 0;
  return slots_.size() < limits_.records && (none_waits || text_bytes_ < limits_.text_bytes) &&
         answer_bytes_ < limits_.answer_bytes;
}

bool OrderedWindow::MayTake() const {
  return stopped_ || closed_ || taken_ < first_ + slots_.size();
}

bool OrderedWindow::FrontIsDone() const {
  return stopped_ || (!slots_.empty() && slots_.front().done) || (closed_ && slots_.empty());
}

bool OrderedWindow::Put(Record record) {
  const absl::MutexLock lock(&mu_, absl::Condition(this, &OrderedWindow::HasRoom));
  if (stopped_) return false;
  Slot slot{.result = {.record = std::move(record), .encoding = absl::UnknownError("")}};
  slot.text_bytes = slot.result.record.text.size();
  text_bytes_ += slot.text_bytes;
  slots_.push_back(std::move(slot));
  return true;
}

void OrderedWindow::Close() {
  const absl::MutexLock lock(&mu_);
  closed_ = true;
}

void OrderedWindow::Stop() {
  const absl::MutexLock lock(&mu_);
  stopped_ = true;
}

std::optional<OrderedWindow::Job> OrderedWindow::Take() {
  const absl::MutexLock lock(&mu_, absl::Condition(this, &OrderedWindow::MayTake));
  if (stopped_ || taken_ == first_ + slots_.size()) return std::nullopt;
  const uint64_t ticket = taken_++;
  // A deque leaves its elements where they are when others come and go at its ends.
  return Job{.ticket = ticket, .record = &slots_[ticket - first_].result.record};
}

void OrderedWindow::Done(uint64_t ticket, absl::StatusOr<v1::Encoding> encoding) {
  const absl::MutexLock lock(&mu_);
  Slot& slot = slots_[ticket - first_];
  text_bytes_ -= slot.text_bytes;
  slot.result.record.text = std::string();
  slot.answer_bytes = encoding.ok() ? encoding->ByteSizeLong() : 0;
  answer_bytes_ += slot.answer_bytes;
  slot.result.encoding = std::move(encoding);
  slot.done = true;
}

std::optional<OrderedWindow::Result> OrderedWindow::Next(absl::Duration limit) {
  const absl::MutexLock lock(&mu_);
  mu_.AwaitWithTimeout(absl::Condition(this, &OrderedWindow::FrontIsDone), limit);
  if (slots_.empty() || !slots_.front().done) return std::nullopt;
  Result result = std::move(slots_.front().result);
  answer_bytes_ -= slots_.front().answer_bytes;
  slots_.pop_front();
  ++first_;
  return result;
}

bool OrderedWindow::is_empty_and_closed() const {
  const absl::MutexLock lock(&mu_);
  return closed_ && slots_.empty();
}

}  // namespace longspan
