#include "server/rpc/open_calls.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

// Of the calls that wait for a message, the share that one Look ends for lack of memory: where the
// first ones hold little of it, the others follow within a second.
constexpr size_t kShareEnded = 8;
constexpr size_t kShareEndedFar = 2;  // where there is a quarter more than allowed

// When a caller whose request was ended for lack of memory should try again.
constexpr absl::Duration kRetryReceiving = absl::Seconds(1);

// A reader that takes a MiB a second is slow, not gone.
constexpr int64_t kBytesPerSecond = 1 << 20;

absl::Status WhyEnded(const OpenCalls::Dropped& dropped, int64_t max_receiving_bytes) {
  if (dropped.reason == DropReason::kSlowRequest) {
    return absl::DeadlineExceededError(
        absl::StrCat("the request did not arrive within ",
                     absl::FormatDuration(absl::Trunc(dropped.waited, absl::Milliseconds(100))),
                     "; send all of it at once"));
  }
  absl::Status status = absl::ResourceExhaustedError(
      absl::StrCat("messages that have begun to arrive take more than ", max_receiving_bytes,
                   " bytes of memory; this call has waited longest for its own, ",
                   absl::FormatDuration(absl::Trunc(dropped.waited, absl::Milliseconds(1)))));
  return WithReason(WithRetryAfter(std::move(status), kRetryReceiving), kReasonMaxReceivingBytes);
}

}  // namespace

std::string ClientOf(const std::string& peer) {
  const size_t colon = peer.rfind(':');
  return colon == std::string::npos || peer.rfind("unix", 0) == 0 ? peer : peer.substr(0, colon);
}

OpenCalls::OpenCalls(Options options, std::function<int64_t()> received_bytes,
                     std::function<void(const Dropped&)> on_drop, const Clock* clock)
    : options_(options),
      received_bytes_(std::move(received_bytes)),
      on_drop_(std::move(on_drop)),
      clock_(clock) {}

OpenCalls::Handle OpenCalls::Add(std::optional<RpcMethod> method, std::string client,
                                 grpc::CallbackServerContext* context) {
  absl::MutexLock lock(&mu_);
  ++opened_;
  if (method.has_value()) ++open_[static_cast<size_t>(*method)];
  Entry& entry = calls_.emplace_front();
  entry.method = method;
  entry.client = std::move(client);
  entry.context = context;
  return calls_.begin();
}

void OpenCalls::Remove(Handle call) {
  ReadEnds(call);
  absl::MutexLock lock(&mu_);
  if (call->method.has_value()) {
    const auto method = static_cast<size_t>(*call->method);
    --open_[method];
    if (call->accepted) {
      --accepted_[method];
      --all_accepted_;
    }
  }
  calls_.erase(call);
}

void OpenCalls::Accept(Handle call) {
  absl::MutexLock lock(&mu_);
  if (!call->method.has_value() || std::exchange(call->accepted, true)) return;
  ++accepted_[static_cast<size_t>(*call->method)];
  ++all_accepted_;
}

void OpenCalls::ReadBegins(Handle call, std::weak_ptr<Reader> reader, bool whole_request) {
  absl::MutexLock lock(&mu_);
  call->reader = std::move(reader);
  call->reading_since = clock_->Now();
  call->whole_request = whole_request;
  call->arrived = false;
  if (whole_request) ++receiving_;
}

void OpenCalls::ReadArrived(Handle call) {
  absl::MutexLock lock(&mu_);
  call->arrived = true;
}

void OpenCalls::ReadEnds(Handle call) {
  absl::MutexLock lock(&mu_);
  if (call->reading_since == absl::InfiniteFuture()) return;
  call->reading_since = absl::InfiniteFuture();
  if (call->whole_request) --receiving_;
}

void OpenCalls::WriteBegins(Handle call, int64_t bytes) {
  absl::MutexLock lock(&mu_);
  call->written_at = clock_->Now();
  call->unread_until = call->written_at + options_.max_unread_time +
                       absl::Seconds(static_cast<double>(bytes) / kBytesPerSecond);
}

void OpenCalls::WriteEnds(Handle call) {
  absl::MutexLock lock(&mu_);
  call->unread_until = absl::InfiniteFuture();
}

bool OpenCalls::AnyOldReaderLocked(absl::Time now) const {
  return std::any_of(calls_.begin(), calls_.end(),
                     [&](const Entry& call) { return now - call.reading_since >= kShortGrace; });
}

// The calls to end for lack of memory, by the rule of the class comment.
std::vector<OpenCalls::Entry*> OpenCalls::VictimsLocked(absl::Time now, int64_t over) {
  const bool far = over > options_.max_receiving_bytes / 4;
  const absl::Duration grace = far ? kShortGrace : kGrace;
  const size_t share_ended = far ? kShareEndedFar : kShareEnded;
  std::map<std::string_view, std::vector<Entry*>> readers;
  size_t all = 0;
  for (Entry& call : calls_) {
    if (now - call.reading_since < grace) continue;
    readers[call.client].push_back(&call);
    ++all;
  }
  for (auto& [client, calls] : readers) {  // the one that has waited longest comes last
    std::sort(calls.begin(), calls.end(),
              [](const Entry* a, const Entry* b) { return a->reading_since > b->reading_since; });
  }
  std::vector<Entry*> victims;
  while (victims.size() * share_ended < all) {
    const auto most =
        std::max_element(readers.begin(), readers.end(), [](const auto& a, const auto& b) {
          if (a.second.size() != b.second.size()) return a.second.size() < b.second.size();
          return a.second.empty() ||
                 a.second.back()->reading_since > b.second.back()->reading_since;
        });
    victims.push_back(most->second.back());
    most->second.pop_back();
  }
  return victims;
}

void OpenCalls::CollectLocked(absl::Time now, int64_t over,
                              std::vector<std::pair<std::shared_ptr<Reader>, Dropped>>* ended,
                              std::vector<Dropped>* unread) {
  const auto end = [&](Entry& call, DropReason reason) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    ended->emplace_back(call.reader.lock(), Dropped{reason, call.client, now - call.reading_since});
    // Until its callbacks have run it counts as one that does not read, so that it is ended once.
    if (call.whole_request) --receiving_;
    call.reading_since = absl::InfiniteFuture();
  };
  for (Entry& call : calls_) {
    if (now >= call.unread_until) {
      unread->push_back({DropReason::kUnreadAnswer, call.client, now - call.written_at});
      call.unread_until = absl::InfiniteFuture();
      // Frees what gRPC holds of the answer. The context lives: Remove needs this lock.
      call.context->TryCancel();
    }
    if (call.whole_request && !call.arrived && now - call.reading_since >= options_.max_body_time)
      end(call, DropReason::kSlowRequest);
  }
  if (over <= 0) return;
  for (Entry* call : VictimsLocked(now, over)) end(*call, DropReason::kReceivingMemory);
}

void OpenCalls::Look() {
  const absl::Time now = clock_->Now();
  bool measure = false;
  {
    absl::MutexLock lock(&mu_);
    if (calls_.empty()) return;
    measure = AnyOldReaderLocked(now);
  }
  const int64_t over = measure ? received_bytes_() - options_.max_receiving_bytes : 0;
  std::vector<std::pair<std::shared_ptr<Reader>, Dropped>> ended;
  std::vector<Dropped> unread;
  {
    absl::MutexLock lock(&mu_);
    CollectLocked(now, over, &ended, &unread);
  }
  for (const auto& [reader, dropped] : ended) {
    if (reader != nullptr) reader->GiveUpReading(WhyEnded(dropped, options_.max_receiving_bytes));
    on_drop_(dropped);
  }
  for (const Dropped& dropped : unread) on_drop_(dropped);
}

OpenCalls::Counts OpenCalls::open() const {
  absl::MutexLock lock(&mu_);
  return open_;
}

int64_t OpenCalls::num_receiving() const {
  absl::MutexLock lock(&mu_);
  return receiving_;
}

int64_t OpenCalls::num_opened() const {
  absl::MutexLock lock(&mu_);
  return opened_;
}

bool OpenCalls::AwaitAnswered(absl::Time deadline) const {
  absl::MutexLock lock(&mu_);
  const auto none = [](const int64_t* accepted) { return *accepted == 0; };
  return clock_->AwaitUntil(mu_, absl::Condition(+none, &all_accepted_), deadline);
}

OpenCalls::Counts OpenCalls::unanswered() const {
  absl::MutexLock lock(&mu_);
  return accepted_;
}

}  // namespace longspan
