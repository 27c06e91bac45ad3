// Puts calls and streams with random cancels and deadlines on a real server with a tiny Longformer,
// until ANSWERS requests are answered.
//
//   answered_requests MODEL_DIR [ANSWERS] [SEED]
//
// It checks that no request is lost, that none is answered twice, and that each vector is that of
// its text encoded alone. In the end the server must drain, which it cannot do while a permit of
// the admission is out: so no permit has leaked. It prints one JSON object; the exit code is 1
// where anything is wrong.
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "core/encoder.h"
#include "nlohmann/json.hpp"
#include "server/server.h"
#include "server/start/served_model.h"
#include "server/telemetry/log.h"

namespace longspan {
namespace {

constexpr int kTexts = 512;         // different texts
constexpr int kCallers = 4;         // threads that send unary calls
constexpr int kCallsAtOnce = 16;    // calls under way of each of them
constexpr int kStreams = 2;         // threads that send streams, one after the other
constexpr int kStreamItems = 5000;  // texts of a stream

// The texts that are sent, and the vector of each when it is encoded alone.
class Corpus {
 public:
  Corpus(const std::string& model_dir, uint64_t seed) {
    const auto encoder = *Encoder::Load(model_dir);
    std::mt19937_64 random(seed);
    const int64_t longest =
        encoder->info().max_tokens > 0 ? std::min<int64_t>(encoder->info().max_tokens, 400) : 400;
    for (int i = 0; i < kTexts; ++i) {
      std::vector<int32_t> ids(1 + random() % longest);
      for (int32_t& id : ids)
        id = static_cast<int32_t>(3 + random() % (encoder->info().vocab_size - 3));
      TokenBatch batch;
      const std::vector<int32_t> globals = ResolveGlobalPositions(encoder->info(), std::nullopt, {},
                                                                  static_cast<int64_t>(ids.size()));
      batch.Add({.token_ids = ids, .global_positions = globals});
      vectors_.push_back(encoder->Encode(batch, std::vector<EncodeOptions>(1))[0].value().vector);
      v1::Input input;
      for (const int32_t id : ids) input.mutable_token_ids()->add_ids(static_cast<uint32_t>(id));
      inputs_.push_back(std::move(input));
    }
  }
  const v1::Input& input(size_t text) const { return inputs_[text]; }
  // Whether `got` has the direction of the text's own vector. The bound on the cosine leaves room
  // for float sums in another order, as batches of other shapes take them.
  bool Matches(size_t text, const v1::Vector& got) const {
    const std::vector<float>& want = vectors_[text];
    if (got.values_size() != static_cast<int>(want.size())) return false;
    double dot = 0, a = 0, b = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      dot += static_cast<double>(want[i]) * got.values(static_cast<int>(i));
      a += static_cast<double>(want[i]) * want[i];
      b += static_cast<double>(got.values(static_cast<int>(i))) * got.values(static_cast<int>(i));
    }
    return dot / std::sqrt(a * b) >= 0.9999;
  }

 private:
  std::vector<v1::Input> inputs_;
  std::vector<std::vector<float>> vectors_;
};

// What came of all requests. In the second line stands what must not happen.
struct Tally {
  std::atomic<int64_t> sent = 0, ended = 0, answered = 0, cancelled = 0, expired = 0, refused = 0;
  std::atomic<int64_t> wrong_vector = 0, wrong_code = 0, lost = 0, doubled = 0;
  bool good() const { return wrong_vector + wrong_code + lost + doubled == 0 && sent == ended; }
};

// One unary call. Its callback and the caller that may cancel it share it.
struct Shot {
  size_t text = 0;
  bool may_be_cancelled = false, may_expire = false;
  grpc::ClientContext context;
  v1::EncodeRequest request;
  v1::EncodeResponse response;
};

// Sends unary calls and keeps kCallsAtOnce of them under way. One in eight is cancelled a little
// later, and one in eight has a deadline that may pass.
class Caller {
 public:
  Caller(const std::string& address, const Corpus& corpus, Tally& tally, int64_t answers,
         uint64_t seed)
      : client_(*Client::Connect({.server = address, .retry = false})),
        corpus_(corpus),
        tally_(tally),
        answers_(answers),
        random_(seed) {}

  void Run() {
    while (tally_.answered < answers_) {
      AwaitRunning(kCallsAtOnce - 1);
      Send();
    }
    AwaitRunning(0);
  }

 private:
  void AwaitRunning(int at_most) {
    absl::MutexLock lock(&mu_);
    struct Wait {
      const int* running;
      int at_most;
    } wait{&running_, at_most};
    mu_.Await(absl::Condition(
        +[](Wait* w) { return *w->running <= w->at_most; }, &wait));
  }
  void Send() {
    auto shot = std::make_shared<Shot>();
    shot->text = random_() % kTexts;
    *shot->request.add_inputs() = corpus_.input(shot->text);
    shot->may_be_cancelled = random_() % 8 == 0;
    shot->may_expire = random_() % 8 == 0;
    client_->Prepare(&shot->context, shot->may_expire ? absl::Milliseconds(1 + random_() % 40)
                                                      : absl::Seconds(120));
    {
      absl::MutexLock lock(&mu_);
      ++running_;
    }
    ++tally_.sent;
    client_->stub().async()->Encode(
        &shot->context, &shot->request, &shot->response,
        [this, shot](const grpc::Status& status) { OnEnd(*shot, status); });
    if (shot->may_be_cancelled) to_cancel_.push_back(shot);
    if (to_cancel_.size() > random_() % 4) {
      to_cancel_.front()->context.TryCancel();
      to_cancel_.pop_front();
    }
  }
  void OnEnd(const Shot& shot, const grpc::Status& status) {
    const grpc::StatusCode code = status.error_code();
    if (status.ok()) {
      ++tally_.answered;
      const bool right = shot.response.encodings_size() == 1 &&
                         corpus_.Matches(shot.text, shot.response.encodings(0).vector());
      tally_.wrong_vector += !right;
    } else if (code == grpc::CANCELLED && shot.may_be_cancelled) {
      ++tally_.cancelled;
    } else if (code == grpc::DEADLINE_EXCEEDED && shot.may_expire) {
      ++tally_.expired;
    } else if (code == grpc::RESOURCE_EXHAUSTED && shot.may_expire) {
      // The server refuses a request at once whose deadline it cannot keep (DEADLINE_UNREACHABLE).
      ++tally_.refused;
    } else {
      ++tally_.wrong_code;
      std::fprintf(stderr, "unexpected: %d %s\n", code, status.error_message().c_str());
    }
    ++tally_.ended;
    absl::MutexLock lock(&mu_);
    --running_;
  }

  const std::unique_ptr<Client> client_;
  const Corpus& corpus_;
  Tally& tally_;
  const int64_t answers_;
  std::mt19937_64 random_;
  std::deque<std::shared_ptr<Shot>> to_cancel_;
  absl::Mutex mu_;
  int running_ = 0;
};

// Sends one EncodeStream after the other and cancels every fourth in the middle. The ids of the
// answers show which texts are lost and which are answered twice.
void RunStreams(const std::string& address, const Corpus& corpus, Tally& tally, int64_t answers,
                uint64_t seed) {
  const auto client = *Client::Connect({.server = address, .retry = false});
  for (int number = 0; tally.answered < answers; ++number) {
    const bool cancel = number % 4 == 3;
    grpc::ClientContext context;
    client->Prepare(&context, absl::Minutes(10));
    const auto stream = client->stub().EncodeStream(&context);
    std::vector<size_t> texts(kStreamItems);
    std::mt19937_64 random(seed + number);
    for (size_t& text : texts) text = random() % kTexts;
    std::thread writer([&] {
      for (int i = 0; i < kStreamItems; ++i) {
        v1::EncodeStreamRequest request;
        *request.mutable_input() = corpus.input(texts[i]);
        request.mutable_input()->set_id(absl::StrCat(i));
        if (!stream->Write(request)) return;
      }
      stream->WritesDone();
    });
    std::vector<int> seen(kStreamItems);
    v1::EncodeStreamResponse response;
    for (int read = 0; stream->Read(&response); ++read) {
      const int item = std::stoi(response.encoding().id());
      ++seen[item];
      if (response.encoding().has_status()) {
        ++tally.wrong_code;
      } else {
        ++tally.answered;
        tally.wrong_vector += !corpus.Matches(texts[item], response.encoding().vector());
      }
      if (cancel && read == kStreamItems / 2) context.TryCancel();
    }
    writer.join();
    const grpc::Status status = stream->Finish();
    if (!cancel && !status.ok()) ++tally.wrong_code;
    for (const int times : seen) {
      tally.doubled += times > 1;
      tally.lost += !cancel && times == 0;
    }
  }
}

int64_t ResidentMiB() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * 4096 / (1 << 20);
}

int Main(const std::string& model_dir, int64_t answers, uint64_t seed) {
  Log log("json", "error");
  ServerOptions options;
  options.model = model_dir;
  options.listen = "127.0.0.1:0";
  options.http = "off";
  options.drain_delay = absl::ZeroDuration();
  auto model = LoadServedModel(&options);
  if (!model.ok())
    return std::fprintf(stderr, "%s\n", std::string(model.status().message()).c_str()), 1;
  const Corpus corpus(model_dir, seed);
  auto server = *Server::Create(options, *std::move(model), &log);
  if (!server->Start().ok()) return 1;
  const std::string address = absl::StrCat("127.0.0.1:", server->grpc_port());

  Tally tally;
  const absl::Time start = absl::Now();
  std::vector<std::unique_ptr<Caller>> callers;
  std::vector<std::thread> threads;
  for (int i = 0; i < kCallers; ++i) {
    callers.push_back(std::make_unique<Caller>(address, corpus, tally, answers, seed * 100 + i));
    threads.emplace_back([caller = callers.back().get()] { caller->Run(); });
  }
  for (int i = 0; i < kStreams; ++i) {
    threads.emplace_back(
        [&, i] { RunStreams(address, corpus, tally, answers, seed * 1000 + 100 * i); });
  }
  int64_t warm_mib = 0;
  std::atomic<bool> finished = false;
  std::thread progress([&] {
    while (!finished) {
      absl::SleepFor(absl::Seconds(1));
      if (warm_mib == 0 && tally.answered > answers / 20) warm_mib = ResidentMiB();
      std::fprintf(stderr, "\r%lld answered ", static_cast<long long>(tally.answered));
    }
  });
  for (std::thread& thread : threads) thread.join();
  finished = true;
  progress.join();
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  const int64_t end_mib = ResidentMiB();
  const bool drained = server->Drain();
  server.reset();
  const nlohmann::ordered_json report = {{"answered", tally.answered.load()},
                                         {"cancelled", tally.cancelled.load()},
                                         {"expired", tally.expired.load()},
                                         {"deadline_unreachable", tally.refused.load()},
                                         {"lost", tally.lost + tally.sent - tally.ended},
                                         {"doubled", tally.doubled.load()},
                                         {"wrong_vector", tally.wrong_vector.load()},
                                         {"unexpected_code", tally.wrong_code.load()},
                                         {"drained", drained},
                                         {"seconds", seconds},
                                         {"resident_mib_after_5_percent", warm_mib},
                                         {"resident_mib_at_the_end", end_mib}};
  std::printf("\n%s\n", report.dump(2).c_str());
  return tally.good() && drained ? 0 : 1;
}

}  // namespace
}  // namespace longspan

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "answered_requests MODEL_DIR [ANSWERS] [SEED]\n"), 2;
  return longspan::Main(argv[1], argc > 2 ? std::atoll(argv[2]) : 20'000,
                        argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1);
}
