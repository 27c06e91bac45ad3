#include "server/rpc/transport_guard.h"

#include <dlfcn.h>
#include <grpc/slice.h>
#include <grpcpp/version_info.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <unordered_map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "server/rpc/frame_guard.h"

// The versions whose transport these functions belong to: their names and arguments are the same in
// all of 1.51.
#define LONGSPAN_GUARDS_GRPC (GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR == 51)

struct grpc_endpoint;
struct grpc_chttp2_transport;

namespace longspan {

std::string_view AbuseName(Abuse abuse) {
  switch (abuse) {
    case Abuse::kHeaderBlock:
      return "header_block";
    case Abuse::kResets:
      return "resets";
    case Abuse::kIdleFrames:
      return "idle_frames";
    case Abuse::kStreams:
      return "streams";
  }
  return "unknown";
}

namespace {

using Clock = std::chrono::steady_clock;

// What is known of one server connection.
struct GuardedTransport {
  // Used by the reader alone: gRPC feeds a transport by one thread at a time.
  FrameGuard frames;
  bool closed = false;
  // Constant.
  int fd = -1;
  std::string client;
  // Streams that gRPC holds memory for, and since when there are none.
  std::atomic<int64_t> streams{0};
  std::atomic<Clock::rep> idle_since{Clock::now().time_since_epoch().count()};
};

class Registry {
 public:
  static Registry& Get() {
    static auto* const registry = new Registry;  // gRPC's threads may outlive static objects
    return *registry;
  }

  void Add(const void* transport, std::shared_ptr<GuardedTransport> state) {
    absl::MutexLock lock(&mu_);
    by_fd_[state->fd] = transport;
    by_transport_[transport] = std::move(state);
    transports_.fetch_add(1, std::memory_order_relaxed);
  }
  void Remove(const void* transport) {
    absl::MutexLock lock(&mu_);
    const auto found = by_transport_.find(transport);
    if (found == by_transport_.end()) return;
    const auto fd = by_fd_.find(found->second->fd);
    // A later connection may have the same descriptor already.
    if (fd != by_fd_.end() && fd->second == transport) by_fd_.erase(fd);
    by_transport_.erase(found);
  }
  // Null where it is none of a server.
  std::shared_ptr<GuardedTransport> Find(const void* transport) {
    absl::MutexLock lock(&mu_);
    const auto found = by_transport_.find(transport);
    return found == by_transport_.end() ? nullptr : found->second;
  }
  std::shared_ptr<GuardedTransport> FindDescriptor(int fd) {
    absl::MutexLock lock(&mu_);
    const auto found = by_fd_.find(fd);
    return found == by_fd_.end() ? nullptr : by_transport_[found->second];
  }

  int64_t transports() const { return transports_.load(std::memory_order_relaxed); }
  int64_t max_streams() const { return max_streams_.load(std::memory_order_relaxed); }
  void set_max_streams(int64_t streams) { max_streams_ = streams; }

  void SetObserver(std::function<void(Abuse, int, const std::string&)> observer) {
    absl::MutexLock lock(&observer_mu_);
    observer_ = std::move(observer);
  }
  void Tell(Abuse abuse, const GuardedTransport& transport) {
    absl::MutexLock lock(&observer_mu_);
    if (observer_) observer_(abuse, transport.fd, transport.client);
  }

 private:
  absl::Mutex mu_;
  std::unordered_map<const void*, std::shared_ptr<GuardedTransport>> by_transport_
      ABSL_GUARDED_BY(mu_);
  std::unordered_map<int, const void*> by_fd_ ABSL_GUARDED_BY(mu_);
  std::atomic<int64_t> transports_{0};
  std::atomic<int64_t> max_streams_{1024};
  absl::Mutex observer_mu_;
  std::function<void(Abuse, int, const std::string&)> observer_ ABSL_GUARDED_BY(observer_mu_);
};

std::optional<Abuse> AbuseOf(FrameGuard::Verdict verdict) {
  switch (verdict) {
    case FrameGuard::Verdict::kFine:
      return std::nullopt;
    case FrameGuard::Verdict::kHeaderBlock:
      return Abuse::kHeaderBlock;
    case FrameGuard::Verdict::kResets:
      return Abuse::kResets;
    case FrameGuard::Verdict::kIdleFrames:
      return Abuse::kIdleFrames;
  }
  return std::nullopt;
}

// The error ends the transport; the shutdown ends what it still has to write, to a peer that may
// not read.
absl::Status CloseAbuser(Abuse abuse, GuardedTransport* transport) {
  if (!transport->closed) {
    transport->closed = true;
    Registry::Get().Tell(abuse, *transport);
    if (transport->fd >= 0) shutdown(transport->fd, SHUT_RDWR);
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("the connection is closed for its ", std::string(AbuseName(abuse))));
}

// The next definition of a symbol behind ours, which is gRPC's; null where there is none.
template <typename Function>
Function* Real(const char* symbol) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, symbol));
}

}  // namespace

#if LONGSPAN_GUARDS_GRPC

// The library's functions, with the names that it gives them. Constructors and destructors return
// nothing on the processors that this runs on.
#define LONGSPAN_PERFORM_READ "_Z24grpc_chttp2_perform_readP21grpc_chttp2_transportRK10grpc_slice"
#define LONGSPAN_NEW_TRANSPORT \
  "_ZN21grpc_chttp2_transportC1ERKN9grpc_core11ChannelArgsEP13grpc_endpointb"
#define LONGSPAN_END_TRANSPORT "_ZN21grpc_chttp2_transportD1Ev"
#define LONGSPAN_NEW_STREAM                                                              \
  "_ZN18grpc_chttp2_streamC1EP21grpc_chttp2_transportP20grpc_stream_refcountPKvPN9grpc_" \
  "core5ArenaE"
#define LONGSPAN_END_STREAM "_ZN18grpc_chttp2_streamD1Ev"

absl::Status GuardRead(void* transport, const grpc_slice& slice) asm(LONGSPAN_PERFORM_READ);
void GuardNewTransport(void* self, const void* arguments, grpc_endpoint* endpoint,
                       bool is_client) asm(LONGSPAN_NEW_TRANSPORT);
void GuardEndTransport(void* self) asm(LONGSPAN_END_TRANSPORT);
void GuardNewStream(void* self, void* transport, void* references, const void* server_data,
                    void* arena) asm(LONGSPAN_NEW_STREAM);
void GuardEndStream(void* self) asm(LONGSPAN_END_STREAM);

__attribute__((visibility("default"))) absl::Status GuardRead(void* transport,
                                                              const grpc_slice& slice) {
  static auto* const real = Real<absl::Status(void*, const grpc_slice&)>(LONGSPAN_PERFORM_READ);
  const auto state = Registry::Get().Find(transport);
  if (state == nullptr) return real(transport, slice);
  const std::string_view bytes(reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)),
                               GRPC_SLICE_LENGTH(slice));
  if (const auto abuse = AbuseOf(state->frames.Read(bytes, Clock::now())); abuse.has_value())
    return CloseAbuser(*abuse, state.get());
  absl::Status status = real(transport, slice);
  if (status.ok() && state->streams.load(std::memory_order_relaxed) > Registry::Get().max_streams())
    return CloseAbuser(Abuse::kStreams, state.get());
  return status;
}

__attribute__((visibility("default"))) void GuardNewTransport(void* self, const void* arguments,
                                                              grpc_endpoint* endpoint,
                                                              bool is_client) {
  static auto* const real =
      Real<void(void*, const void*, grpc_endpoint*, bool)>(LONGSPAN_NEW_TRANSPORT);
  static auto* const get_fd = Real<int(grpc_endpoint*)>("_Z20grpc_endpoint_get_fdP13grpc_endpoint");
  static auto* const get_peer =
      Real<absl::string_view(grpc_endpoint*)>("_Z22grpc_endpoint_get_peerP13grpc_endpoint");
  if (!is_client) {
    auto state = std::make_shared<GuardedTransport>();
    if (get_fd != nullptr) state->fd = get_fd(endpoint);
    if (get_peer != nullptr) state->client = std::string(get_peer(endpoint));
    Registry::Get().Add(self, std::move(state));
  }
  real(self, arguments, endpoint, is_client);
}

__attribute__((visibility("default"))) void GuardEndTransport(void* self) {
  static auto* const real = Real<void(void*)>(LONGSPAN_END_TRANSPORT);
  Registry::Get().Remove(self);
  real(self);
}

namespace {
// A stream's second word is its transport. GuardNewStream checks that.
void* TransportOf(void* stream) { return static_cast<void**>(stream)[1]; }
}  // namespace

__attribute__((visibility("default"))) void GuardNewStream(void* self, void* transport,
                                                           void* references,
                                                           const void* server_data, void* arena) {
  static auto* const real =
      Real<void(void*, void*, void*, const void*, void*)>(LONGSPAN_NEW_STREAM);
  real(self, transport, references, server_data, arena);
  if (TransportOf(self) != transport) return;
  if (const auto state = Registry::Get().Find(transport); state != nullptr)
    state->streams.fetch_add(1, std::memory_order_relaxed);
}

__attribute__((visibility("default"))) void GuardEndStream(void* self) {
  static auto* const real = Real<void(void*)>(LONGSPAN_END_STREAM);
  // Before the stream lets its transport go.
  if (const auto state = Registry::Get().Find(TransportOf(self)); state != nullptr) {
    if (state->streams.fetch_sub(1, std::memory_order_relaxed) == 1)
      state->idle_since = Clock::now().time_since_epoch().count();
  }
  real(self);
}

#endif  // LONGSPAN_GUARDS_GRPC

namespace transport_guard {

#if LONGSPAN_GUARDS_GRPC
bool Supported() {
  const std::pair<const char*, const void*> functions[] = {
      {LONGSPAN_PERFORM_READ, reinterpret_cast<const void*>(&GuardRead)},
      {LONGSPAN_NEW_TRANSPORT, reinterpret_cast<const void*>(&GuardNewTransport)},
      {LONGSPAN_END_TRANSPORT, reinterpret_cast<const void*>(&GuardEndTransport)},
      {LONGSPAN_NEW_STREAM, reinterpret_cast<const void*>(&GuardNewStream)},
      {LONGSPAN_END_STREAM, reinterpret_cast<const void*>(&GuardEndStream)}};
  for (const auto& [symbol, ours] : functions) {
    if (dlsym(RTLD_DEFAULT, symbol) != ours || Real<void()>(symbol) == nullptr) return false;
  }
  return true;
}
#else
bool Supported() { return false; }
#endif

int64_t transports() { return Registry::Get().transports(); }

void SetMaxStreams(int64_t streams) { Registry::Get().set_max_streams(streams); }

void SetObserver(std::function<void(Abuse, int fd, const std::string& client)> observer) {
  Registry::Get().SetObserver(std::move(observer));
}

std::optional<absl::Duration> Idle(int fd) {
  const auto state = Registry::Get().FindDescriptor(fd);
  if (state == nullptr) return std::nullopt;
  if (state->streams.load(std::memory_order_relaxed) > 0) return absl::ZeroDuration();
  return absl::FromChrono(Clock::now().time_since_epoch() -
                          Clock::duration(state->idle_since.load(std::memory_order_relaxed)));
}

}  // namespace transport_guard
}  // namespace longspan
