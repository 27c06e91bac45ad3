#include "server/rpc/item_stream.h"

#include <algorithm>
#include <utility>

#include "server/rpc/message_threads.h"

namespace longspan {
namespace {

// Bytes of answers that may wait for a slow reader before the next item is read. The vectors of a
// thousand texts of 1,024 floats fit, so only a reader that lags behind meets the bound.
constexpr int64_t kMaxUnsentBytes = 4 << 20;

// Bytes that the answers in work or unsent may take together, as far as they are known to be large:
// those of one item may be the vectors of all its tokens. A single one may be larger. It is at most
// a quarter of max-answer-bytes, so that the items of a stream do not refuse one another.
constexpr int64_t kMaxLargeAnswers = 64 << 20;

}  // namespace

void ItemStream::Begin() {
  call_.parts().drain_bell->Add(shared_from_this());
  const absl::Status status = Admit();
  absl::MutexLock lock(&mu_);
  if (status.ok()) {
    AdvanceLocked();
  } else {
    EndLocked(status);
  }
}

void ItemStream::OnLastMessage(bool gone) {
  absl::MutexLock lock(&mu_);
  if (ended_) return;
  MessageIsRead();
  reading_ = false;
  gone_ = gone_ || gone;
  no_more_inputs_ = true;
  AdvanceLocked();
}

void ItemStream::OnMessage(const grpc::ByteBuffer& message) {
  int64_t number = 0;
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    number = num_read_++;
    ++pending_;
    if (absl::Status status = NoteMessage(message); !status.ok()) {
      MessageIsRead();
      reading_ = false;
      no_more_inputs_ = true;
      if (order_ == AnswerOrder::kAsRead) {
        QueueLocked(number, std::move(status));
      } else {
        failure_ = std::move(status);  // the stream's fault: which item it was is not known
      }
      return AdvanceLocked();
    }
  }
  const auto bytes = static_cast<int64_t>(message.Length());
  const absl::Status handed = OnRequestThread(call_.parts().tokenizers, call_.client(), bytes,
                                              [stream = shared_from_this(), number, message](
                                                  const absl::Status& read) {  // shares the bytes
                                                stream->Receive(number, message, read);
                                              });
  if (!handed.ok()) Receive(number, {}, handed);
}

void ItemStream::Receive(int64_t number, const grpc::ByteBuffer& message, absl::Status status) {
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    MessageIsRead();
  }
  Item item{.work = NewWork(), .number = number};
  if (status.ok())
    status = WithoutThrowing([&] { return item.work->Read(call_.parts(), message); });
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    if (!status.ok()) {
      RefuseLocked(item, status);
    } else if (item.work->input() != nullptr) {
      call_.NoteInput(*item.work->input());
    }
  }
  if (status.ok()) {
    item.most_answer_bytes = item.work->MostAnswerBytes(call_.parts());
    Dispatch(std::move(item));
  }
  absl::MutexLock lock(&mu_);
  reading_ = false;
  AdvanceLocked();
}

bool ItemStream::FitsLocked(const Item& item) const {
  if (item.most_answer_bytes == 0) return true;
  const auto being_written = static_cast<int64_t>(writing_ ? outgoing_.bytes.Length() : 0);
  const int64_t others = unmade_bytes_ + unsent_bytes_ + being_written;
  const int64_t most = std::min(kMaxLargeAnswers, call_.parts().options->max_answer_bytes / 4);
  return (running_ == 0 && others == 0) || others + item.most_answer_bytes <= most;
}

void ItemStream::Dispatch(Item item) {
  const ServiceParts& parts = call_.parts();
  const AdmissionClaim claim = item.work->Claim(parts);
  for (int64_t worked = -1;;) {
    {
      absl::MutexLock lock(&mu_);
      if (!FitsLocked(item)) {
        parked_ = std::move(item);
        return;
      }
      worked = num_worked_;
    }
    const absl::Time deadline = parts.clock->FromTimeout(parts.options->default_deadline);
    auto permit = parts.admission->TryAcquire(claim, deadline, call_.client());
    CallSize call_size;
    {
      absl::MutexLock lock(&mu_);
      if (!permit.ok()) {
        // One that has ended meanwhile has left its room.
        if (absl::IsResourceExhausted(permit.status()) && worked != num_worked_) continue;
        if (absl::IsResourceExhausted(permit.status()) && running_ > 0) {
          parked_ = std::move(item);
          return;
        }
        RefuseLocked(item, permit.status());
        return AdvanceLocked();
      }
      ++running_;
      running_size_ += permit->size();
      unmade_bytes_ += item.most_answer_bytes;
      call_size = running_size_;
    }
    return Hand(std::move(item), *std::move(permit), call_size);
  }
}

std::optional<ItemStream::Item> ItemStream::TakeParkedLocked() {
  if (!parked_.has_value()) return std::nullopt;
  ++num_retrying_;
  return std::exchange(parked_, std::nullopt);
}

void ItemStream::Retry(std::optional<Item> item) {
  if (!item.has_value()) return;
  Dispatch(*std::move(item));
  absl::MutexLock lock(&mu_);
  --num_retrying_;
  AdvanceLocked();
}

void ItemStream::Hand(Item item, AdmissionPermit permit, const CallSize& call_size) {
  const ServiceParts& parts = call_.parts();
  const absl::Time now = parts.clock->Now();
  const CallSize size = permit.size();
  const auto room =
      std::make_shared<AnswerRoom>(parts.admission, call_.client(), item.work->VectorBytes(parts));
  WorkOrder order{.permit = std::move(permit),
                  .call_size = call_size,
                  .arrival = now,
                  .deadline = now + parts.options->default_deadline,
                  .cancel = cancel_,
                  .client = call_.client(),
                  .timer = call_.NewTimer(now),
                  .room = room};
  order.done = [stream = shared_from_this(), item, size,
                room = room](const WorkResult& result) mutable {
    stream->OnWorked(std::move(item), size, std::move(room), result);
  };
  item.work->Begin(parts, std::move(order));
}

void ItemStream::OnWorked(Item item, const CallSize& size, std::shared_ptr<AnswerRoom> room,
                          const WorkResult& result) {
  std::optional<Item> next;
  {
    absl::MutexLock lock(&mu_);
    --running_;
    running_size_ -= size;
    if (running_ == 0) running_size_ = {};  // no rounding error is kept
    ++num_worked_;
    NoteWork(&call_, result);
    next = TakeParkedLocked();
  }
  if (result.counts.ok()) {
    OnAnswerThread(call_.parts().tokenizers, call_.client(), result.num_values,
                   [stream = shared_from_this(), item = std::move(item), room = std::move(room),
                    result]() mutable { stream->MakeAnswer(item, std::move(room), result); });
  } else {
    room->Close();
    absl::MutexLock lock(&mu_);
    unmade_bytes_ -= item.most_answer_bytes;
    RefuseLocked(item, result.counts.status(), result.timings);
    AdvanceLocked();
    if (!next.has_value() && HasLargeParkedLocked()) next = TakeParkedLocked();
  }
  Retry(std::move(next));
}

void ItemStream::MakeAnswer(const Item& item, std::shared_ptr<AnswerRoom> room,
                            const WorkResult& result) {
  Answer answer{.room = std::move(room)};
  absl::Status status;
  if (WantsAnswers())
    status = WithoutThrowing([&] { return item.work->MakeAnswer(&answer.bytes); });
  std::optional<Item> next;
  {
    absl::MutexLock lock(&mu_);
    unmade_bytes_ -= item.most_answer_bytes;
    if (!status.ok() || !WantsAnswersLocked()) answer.room->Close();
    if (status.ok()) {
      call_.CountItem(result.counts, result.timings);
      QueueLocked(item.number, std::move(answer));
    } else {
      RefuseLocked(item, status, result.timings);
    }
    AdvanceLocked();
    if (HasLargeParkedLocked()) next = TakeParkedLocked();
  }
  Retry(std::move(next));
}

bool ItemStream::HasLargeParkedLocked() const {
  return parked_.has_value() && parked_->most_answer_bytes > 0;
}

bool ItemStream::WantsAnswers() {
  absl::MutexLock lock(&mu_);
  return WantsAnswersLocked();
}

bool ItemStream::WantsAnswersLocked() const { return !ended_ && !gone_ && failure_.ok(); }

void ItemStream::RefuseLocked(const Item& item, const absl::Status& why,
                              const StageTimings& timings) {
  const absl::Status status = call_.WithDeadlineNote(why, /*of_item=*/true);
  call_.CountItem(status, timings);
  if (order_ == AnswerOrder::kAsRead) return QueueLocked(item.number, status);
  Answer answer;
  if (WantsAnswersLocked()) answer.bytes = MakeRefusal(*item.work, status);
  QueueLocked(item.number, std::move(answer));
}

void ItemStream::QueueLocked(int64_t number, absl::StatusOr<Answer> answer) {
  if (!WantsAnswersLocked()) {
    --pending_;
    return;
  }
  if (answer.ok()) unsent_bytes_ += static_cast<int64_t>(answer->bytes.Length());
  if (order_ == AnswerOrder::kAsRead) {
    no_more_inputs_ = no_more_inputs_ || !answer.ok();
    early_.emplace(number, std::move(answer));
    return SortLocked();
  }
  --pending_;
  ready_.push_back(*std::move(answer));
}

void ItemStream::SortLocked() {
  while (!early_.empty() && early_.begin()->first == next_) {
    absl::StatusOr<Answer> answer = std::move(early_.begin()->second);
    early_.erase(early_.begin());
    ++next_;
    --pending_;
    if (answer.ok()) {
      ready_.push_back(*std::move(answer));
      continue;
    }
    failure_ = answer.status();
    cancel_->Cancel();  // nothing behind it is answered
    call_.parts().scheduler->NotifyCancelled();
    pending_ -= static_cast<int64_t>(early_.size());
    early_.clear();
    parked_.reset();
  }
}

void ItemStream::WriteNextLocked() {
  outgoing_ = std::move(ready_.front());
  ready_.pop_front();
  const auto bytes = static_cast<int64_t>(outgoing_.bytes.Length());
  unsent_bytes_ -= bytes;
  writing_ = true;
  SendAnswer(outgoing_.bytes);
}

bool ItemStream::MayReadLocked(int64_t unanswered) const {
  return !reading_ && !no_more_inputs_ && !draining_ && !parked_.has_value() &&
         num_retrying_ == 0 && unanswered < call_.parts().options->max_stream_inputs &&
         unsent_bytes_ < kMaxUnsentBytes;
}

void ItemStream::AdvanceLocked() {
  if (ended_) return;
  if (!writing_ && !gone_ && !ready_.empty()) WriteNextLocked();
  if (gone_) {
    if (!writing_) EndLocked(call_.WhyCancelled());
    return;
  }
  if (!failure_.ok()) {
    const bool behind_all = order_ == AnswerOrder::kAsRead;
    if (!writing_ && (ready_.empty() || !behind_all)) EndLocked(failure_);
    return;
  }
  const auto unanswered = pending_ + static_cast<int64_t>(ready_.size()) + (writing_ ? 1 : 0);
  if (MayReadLocked(unanswered)) {
    reading_ = true;
    AskForMessage();
  }
  if (unanswered > 0) return;
  if (no_more_inputs_) return EndLocked(absl::OkStatus());
  if (draining_) EndLocked(DrainingStatus());
}

void ItemStream::EndLocked(const absl::Status& status) {
  ended_ = true;
  DropAnswersLocked();
  FinishStream(status);
}

void ItemStream::OnAnswerTaken(bool ok) {
  std::optional<Item> next;
  {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    outgoing_ = {};  // gives its room back
    if (!ok || gone_) LoseReaderLocked();
    AdvanceLocked();
    if (HasLargeParkedLocked()) next = TakeParkedLocked();
  }
  Retry(std::move(next));
}

void ItemStream::OnDrain() {
  absl::MutexLock lock(&mu_);
  draining_ = true;
  AdvanceLocked();
}

// A stream whose answer is not taken either is cancelled; the write under way ends it.
bool ItemStream::StopReading(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  if (ended_) return true;
  cancel_->Cancel();
  if (!writing_) {
    EndLocked(status);
    return true;
  }
  LoseReaderLocked();
  return false;
}

void ItemStream::LoseReaderLocked() {
  gone_ = true;
  cancel_->Cancel();
  DropAnswersLocked();
}

void ItemStream::DropAnswersLocked() {
  ready_.clear();
  pending_ -= static_cast<int64_t>(early_.size());
  early_.clear();
  unsent_bytes_ = 0;
}

// ThreadSanitizer sees no lock of gRPC's library, so ours tells it that OnCallerGone is over.
void ItemStream::OnTransportDone() {
  call_.parts().drain_bell->Remove(this);
  const absl::MutexLock lock(&mu_);
}

void ItemStream::OnCallerGone() {
  cancel_->Cancel();
  call_.parts().scheduler->NotifyCancelled();
  absl::MutexLock lock(&mu_);
  LoseReaderLocked();
  AdvanceLocked();
}

}  // namespace longspan
