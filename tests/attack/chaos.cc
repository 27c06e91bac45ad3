// A longspan-server under chaos: every call must end, once, with the answer that it gets when it is
// alone.
//
//   chaos SERVER FIXTURES [REQUESTS] [SEED]
//
// SERVER is the program, FIXTURES the folder tests/fixtures. The server runs as a process of its
// own on a tiny Longformer with a tokenizer. First each of some hundred cases (texts and ids of
// mixed lengths, with spans, windows, global tokens, poolings and vector formats) is sent alone,
// and its answer kept. Then REQUESTS requests (a million by default; an item of a stream counts as
// one) come from ten threads: Encode, Tokenize, EncodeTokens, EncodeStream and GetModelInfo, of
// which one in eight is cancelled, one in eight has a deadline of some milliseconds, and some are
// read slowly. Meanwhile the server is stopped (SIGSTOP) for a part of a second again and again.
//
// It checks that no request is lost and none is answered twice; that each answer equals the one of
// the same case alone; that only calls that were cancelled, or had a short deadline, fail; that the
// server's own counts agree; and that SIGTERM then drains it, with code 0, which it cannot do while
// anything that admission gave out is still held. It prints one JSON object; the exit code is 1
// where anything is wrong.
#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr int kCases = 400;
constexpr int kCallers = 4;         // threads that send unary calls
constexpr int kCallsAtOnce = 16;    // calls under way of each of them
constexpr int kStreams = 3;         // threads that send streams, one after the other
constexpr int kStreamItems = 1000;  // items of a stream
constexpr int kTokenReaders = 2;    // threads that send EncodeTokens calls
constexpr int kVocabulary = 80;     // of the fixture
constexpr int kLongest = 99;        // tokens that the fixture takes
constexpr int64_t kPatience = 120;  // seconds: the deadline of calls that must be answered
constexpr absl::Duration kPauseBetweenStops = absl::Milliseconds(700);
constexpr absl::Duration kMaxStop = absl::Milliseconds(300);

// A longspan-server of its own, on a model folder that is deleted with it.
class Server {
 public:
  Server(const std::string& program, const fs::path& fixtures) {
    folder_ = fs::temp_directory_path() / absl::StrCat("longspan-chaos-", getpid());
    fs::create_directories(folder_);
    for (const char* file : {"config.json", "model.safetensors"})
      fs::copy_file(fixtures / "longformer-windows" / file, folder_ / file);
    for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
      fs::copy_file(fixtures / "reformer-mixed" / file, folder_ / file);
    int out[2];
    if (pipe(out) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // it must not outlive us, whatever ends us
      dup2(out[1], STDOUT_FILENO);
      close(out[0]);
      const std::string log = (folder_ / "log").string(), model = folder_.string();
      const int log_file = open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
      dup2(log_file, STDERR_FILENO);
      execl(program.c_str(), program.c_str(), "--model", model.c_str(), "--listen", "127.0.0.1:0",
            "--http", "127.0.0.1:0", "--drain-delay", "0s", "--log-level", "warning", nullptr);
      _exit(127);
    }
    close(out[1]);
    FILE* lines = fdopen(out[0], "r");
    char line[4096];
    while (fgets(line, sizeof(line), lines) != nullptr) {
      if (std::sscanf(line, "longspan-server: gRPC on 127.0.0.1:%d, HTTP on port %d", &port_,
                      &http_port_) == 2)
        break;
    }
    fclose(lines);
  }
  ~Server() {
    if (pid_ > 0) {
      kill(pid_, SIGCONT);
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }
  bool started() const { return port_ > 0; }
  void Signal(int number) const { kill(pid_, number); }
  int Stop() {
    int status = 0;
    kill(pid_, SIGTERM);
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  int64_t ResidentMiB() const {
    std::ifstream file(absl::StrCat("/proc/", pid_, "/statm"));
    int64_t size = 0, resident = 0;
    file >> size >> resident;
    return resident * sysconf(_SC_PAGESIZE) / (1 << 20);
  }
  std::string Log() const {
    std::ifstream file(folder_ / "log");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // The samples of /metrics by name and labels.
  std::map<std::string, double> Metrics() const {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(http_port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    std::string answer;
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
      const std::string request =
          "GET /metrics HTTP/1.1\r\nHost: chaos\r\nConnection: close\r\n\r\n";
      (void)!write(fd, request.data(), request.size());
      char buffer[65536];
      for (ssize_t got; (got = read(fd, buffer, sizeof(buffer))) > 0;) answer.append(buffer, got);
    }
    close(fd);
    std::map<std::string, double> samples;
    std::istringstream lines(answer);
    for (std::string line; std::getline(lines, line);) {
      const size_t blank = line.rfind(' ');
      if (line.empty() || line[0] == '#' || blank == std::string::npos) continue;
      samples[line.substr(0, blank)] = std::atof(line.c_str() + blank);
    }
    return samples;
  }

 private:
  fs::path folder_;
  pid_t pid_ = 0;
  int port_ = 0, http_port_ = 0;
};

// The values of vectors, whatever their format; a bit counts as -1 or 1.
std::vector<float> Values(const google::protobuf::RepeatedField<float>& numbers,
                          const std::string& data, v1::VectorFormat format,
                          const std::vector<float>& scales, int64_t dimensions) {
  std::vector<float> out(numbers.begin(), numbers.end());
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(data[i]); };
  const auto half = [](uint16_t bits) {
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    const double value =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25);
    return static_cast<float>(bits >> 15 ? -value : value);
  };
  switch (format) {
    case v1::VECTOR_FORMAT_FLOAT16:
      for (size_t i = 0; i + 1 < data.size(); i += 2)
        out.push_back(half(static_cast<uint16_t>(byte(i) | byte(i + 1) << 8)));
      break;
    case v1::VECTOR_FORMAT_BFLOAT16:
      for (size_t i = 0; i + 1 < data.size(); i += 2) {
        const uint32_t bits = static_cast<uint32_t>(byte(i) | byte(i + 1) << 8) << 16;
        float value;
        static_assert(sizeof(value) == sizeof(bits));
        memcpy(&value, &bits, sizeof(value));
        out.push_back(value);
      }
      break;
    case v1::VECTOR_FORMAT_INT8:
      for (size_t i = 0; i < data.size(); ++i)
        out.push_back(static_cast<int8_t>(data[i]) * scales[i / dimensions]);
      break;
    case v1::VECTOR_FORMAT_BINARY:
      for (size_t i = 0; i < data.size(); ++i)
        for (int bit = 7; bit >= 0; --bit) out.push_back(byte(i) >> bit & 1 ? 1.0F : -1.0F);
      break;
    default:
      break;
  }
  return out;
}

// The least cosine of two equal vectors that are rounded to a format. Float sums in another order,
// as batches of other shapes take them, may move a value across a step of the format.
double LeastCosine(v1::VectorFormat format) {
  switch (format) {
    case v1::VECTOR_FORMAT_FLOAT16:
    case v1::VECTOR_FORMAT_BFLOAT16:
      return 0.9995;
    case v1::VECTOR_FORMAT_INT8:
      return 0.999;
    case v1::VECTOR_FORMAT_BINARY:
      return 0.85;  // two bits of 32
    default:
      return 0.9999;
  }
}

bool SameDirection(const std::vector<float>& want, const std::vector<float>& got, double least) {
  if (want.size() != got.size()) return false;
  double dot = 0, a = 0, b = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    if (!std::isfinite(got[i])) return false;
    dot += static_cast<double>(want[i]) * got[i];
    a += static_cast<double>(want[i]) * want[i];
    b += static_cast<double>(got[i]) * got[i];
  }
  return a * b == 0 ? a == b : dot / std::sqrt(a * b) >= least;
}

bool SameVector(const v1::Vector& want, const v1::Vector& got) {
  if (want.format() != got.format() || want.dimensions() != got.dimensions()) return false;
  const auto values = [](const v1::Vector& vector) {
    return Values(vector.values(), vector.data(), vector.format(), {vector.scale()},
                  std::max<int64_t>(1, vector.dimensions()));
  };
  return SameDirection(values(want), values(got), LeastCosine(want.format()));
}

// Whether two encodings are the same but for their ids: counts and ranges exactly, vectors up to
// rounding.
bool SameEncoding(v1::Encoding want, v1::Encoding got) {
  if (want.spans_size() != got.spans_size() || want.has_vector() != got.has_vector()) return false;
  if (want.has_vector() && !SameVector(want.vector(), got.vector())) return false;
  for (int i = 0; i < want.spans_size(); ++i) {
    if (!SameVector(want.spans(i).vector(), got.spans(i).vector())) return false;
    want.mutable_spans(i)->clear_vector();
    got.mutable_spans(i)->clear_vector();
  }
  for (v1::Encoding* encoding : {&want, &got}) {
    encoding->clear_id();
    encoding->clear_vector();
  }
  return want.SerializeAsString() == got.SerializeAsString();
}

// One thing to ask for, and what the server answers when nothing else runs.
struct Case {
  v1::EncodeRequest encode;  // one to three inputs
  v1::EncodeResponse encoded;
  v1::TokenizeRequest tokenize;
  v1::TokenizeResponse tokenized;
  v1::EncodeTokensRequest tokens;
  std::vector<float> token_values;
  v1::EncodeTokensResponse token_end;  // of the last message, without its values
};

class CaseMaker {
 public:
  explicit CaseMaker(uint64_t seed) : random_(seed) {}

  Case Make() {
    Case made;
    v1::EncodeOptions* options = made.encode.mutable_options();
    options->set_pooling(static_cast<v1::Pooling>(Below(7)));
    options->set_vector_format(static_cast<v1::VectorFormat>(Below(6)));
    options->set_normalize(Below(2) == 0);
    if (Below(3) == 0) options->set_dimensions(8 * (1 + Below(4)));
    const bool pools_one = options->pooling() == v1::POOLING_CLS ||
                           options->pooling() == v1::POOLING_LAST_TOKEN ||
                           options->pooling() == v1::POOLING_UNSPECIFIED;
    const bool text = Below(3) != 0;
    const bool is_long = Below(4) == 0;
    if (is_long) {
      options->set_truncation(static_cast<v1::Truncation>(2 + Below(4)));
      if (options->truncation() == v1::TRUNCATION_WINDOWS)
        options->set_window_overlap_tokens(Below(20));
    }
    const int policy = static_cast<int>(Below(6));
    const bool can_span = !is_long && (!pools_one || Below(2) == 0);
    if (can_span && pools_one) options->set_span_context(v1::SPAN_CONTEXT_INDEPENDENT);
    if (can_span && policy == 5) {
      options->set_span_policy(v1::SPAN_POLICY_FIXED);
      options->set_span_tokens(1 + Below(20));
      options->set_span_overlap_tokens(Below(options->span_tokens()));
    } else if (can_span && text && (policy == 3 || policy == 4)) {
      options->set_span_policy(static_cast<v1::SpanPolicy>(policy));
    }
    for (int inputs = 1 + Below(3); inputs > 0; --inputs) {
      v1::Input* input = made.encode.add_inputs();
      const int size = is_long ? kLongest + 1 + Below(300) : 1 + Below(kLongest);
      Fill(text, size, input);
      if (can_span && policy < 2) {
        for (int spans = 1 + Below(5); spans > 0; --spans) {
          v1::Range* range = input->add_spans();
          range->set_begin(Below(size));
          range->set_end(range->begin() + 1 + Below(size - range->begin()));
        }
      }
      if (Below(4) == 0) input->add_global_token_positions(Below(std::min(size, kLongest)));
      if (text && Below(6) == 0) {
        v1::Range* range = input->add_global_attention_spans();
        range->set_begin(Below(size));
        range->set_end(range->begin() + 1);
      }
    }
    made.tokenize.add_texts(Text(1 + Below(400)));
    Fill(Below(2) == 0, 1 + Below(kLongest), made.tokens.mutable_input());
    made.tokens.mutable_options()->set_vector_format(static_cast<v1::VectorFormat>(Below(6)));
    return made;
  }

 private:
  int64_t Below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
  std::string Text(int64_t characters) {
    std::string text;
    for (int64_t i = 0; i < characters; ++i) text += "abcdefghij klmno. pqrstuvwxyz"[Below(29)];
    text[0] = 'a';
    return text;
  }
  void Fill(bool text, int64_t size, v1::Input* input) {
    if (text) {
      input->set_text(Text(size));
    } else {
      for (int64_t i = 0; i < size; ++i)
        input->mutable_token_ids()->add_ids(static_cast<uint32_t>(3 + Below(kVocabulary - 3)));
    }
  }
  std::mt19937_64 random_;
};

// What came of all requests. In the second line stands what must not happen.
struct Tally {
  std::atomic<int64_t> sent = 0, ended = 0, answered = 0, cancelled = 0, expired = 0, refused = 0;
  std::atomic<int64_t> wrong_answer = 0, wrong_code = 0, lost = 0, doubled = 0;
  std::atomic<int64_t> ok_calls = 0, calls = 0, pauses = 0;
  bool good() const { return wrong_answer + wrong_code + lost + doubled == 0 && sent == ended; }

  // Counts the end of a call. `may_fail`: it was cancelled, or had a short deadline.
  void End(const grpc::Status& status, bool may_fail, int64_t requests = 1) {
    ++calls;
    ok_calls += status.ok();
    ended += requests;
    if (status.ok()) {
      answered += requests;
    } else if (may_fail && status.error_code() == grpc::CANCELLED) {
      cancelled += requests;
    } else if (may_fail && status.error_code() == grpc::DEADLINE_EXCEEDED) {
      expired += requests;
    } else if (may_fail && status.error_code() == grpc::RESOURCE_EXHAUSTED) {
      refused += requests;  // the server sees at once that the deadline cannot be kept
    } else {
      wrong_code += requests;
      Say(absl::StrCat("unexpected: code ", status.error_code(), " ", status.error_message()));
    }
  }
  void Wrong(const std::string& what) {
    ++wrong_answer;
    Say(what);
  }
  static void Say(const std::string& what) {
    static std::atomic<int> said = 0;
    if (++said <= 20) std::fprintf(stderr, "%s\n", what.c_str());
  }
};

// Collects the messages of one EncodeTokens call: its values in order, and the end.
struct TokenAnswer {
  std::vector<float> values;
  v1::EncodeTokensResponse end;
  bool in_order = true;
  int64_t tokens = 0;

  void Take(const v1::EncodeTokensResponse& part) {
    in_order = in_order && part.first_token() == static_cast<uint64_t>(tokens);
    tokens += static_cast<int64_t>(part.token_count());
    const std::vector<float> more = Values(part.values(), part.data(), part.format(),
                                           {part.scales().begin(), part.scales().end()},
                                           std::max<int64_t>(1, part.dimensions()));
    values.insert(values.end(), more.begin(), more.end());
    end = part;
    end.clear_values();
    end.clear_data();
    end.clear_scales();
    end.clear_timings();
    end.clear_first_token();
    end.clear_token_count();
  }
};

class Chaos {
 public:
  Chaos(const Server& server, int64_t requests, uint64_t seed)
      : server_(server), requests_(requests), seed_(seed) {}

  // Sends each case alone and keeps the answers. False where one is refused.
  bool Prepare() {
    const auto client = *Client::Connect({.server = server_.address(), .retry = false});
    CaseMaker maker(seed_);
    while (cases_.size() < kCases) {
      Case made = maker.Make();
      auto encoded = client->Encode(made.encode, absl::Seconds(60));
      if (encoded.status().code() == absl::StatusCode::kInvalidArgument) {
        ++unanswerable_;  // such as a span of which nothing is left
        if (unanswerable_ > kCases) return false;
        continue;
      }
      auto tokenized = client->Tokenize(made.tokenize, absl::Seconds(60));
      TokenAnswer tokens;
      const absl::Status status =
          client->EncodeTokens(made.tokens, absl::Seconds(60),
                               [&](const v1::EncodeTokensResponse& part) { tokens.Take(part); });
      for (const absl::Status& one : {encoded.status(), tokenized.status(), status}) {
        if (one.ok()) continue;
        std::fprintf(stderr, "a case alone: %s\n", one.ToString().c_str());
        return false;
      }
      made.encoded = *std::move(encoded);
      made.tokenized = *std::move(tokenized);
      made.token_values = std::move(tokens.values);
      made.token_end = tokens.end;
      cases_.push_back(std::move(made));
    }
    return true;
  }

  void Run() {
    std::vector<std::thread> threads;
    for (int i = 0; i < kCallers; ++i)
      threads.emplace_back([this, i] { RunCalls(seed_ * 100 + i); });
    for (int i = 0; i < kStreams; ++i)
      threads.emplace_back([this, i] { RunStreams(seed_ * 1000 + i); });
    for (int i = 0; i < kTokenReaders; ++i)
      threads.emplace_back([this, i] { RunTokens(seed_ * 10000 + i); });
    std::atomic<bool> over = false;
    std::thread stopper([&] { RunStops(over); });
    for (std::thread& thread : threads) thread.join();
    over = true;
    stopper.join();
  }

  Tally& tally() { return tally_; }

 private:
  struct Shot {
    const Case* wanted = nullptr;
    bool may_fail = false;
    grpc::ClientContext context;
    v1::EncodeRequest encode;
    v1::EncodeResponse encoded;
    v1::TokenizeResponse tokenized;
    v1::GetModelInfoRequest info_request;
    v1::GetModelInfoResponse info;
  };

  // A client with a connection of its own. It lives as long as this object: a callback of its last
  // call may still be on its way out when its thread ends.
  Client* NewClient() {
    absl::MutexLock lock(&clients_mu_);
    clients_.push_back(
        *Client::Connect({.server = server_.address(), .retry = false, .own_connection = true}));
    return clients_.back().get();
  }

  struct Running {
    absl::Mutex mu;
    int calls = 0;
  };

  bool Enough() const { return tally_.sent >= requests_; }

  void RunCalls(uint64_t seed) {
    Client* const client = NewClient();
    std::mt19937_64 random(seed);
    // Shared with the callbacks, the last of which may still unlock it when this thread goes on.
    const auto running = std::make_shared<Running>();
    std::deque<std::shared_ptr<Shot>> to_cancel;
    const auto await = [&](int at_most) {
      absl::MutexLock lock(&running->mu);
      const auto few = [&] { return running->calls <= at_most; };
      running->mu.Await(absl::Condition(&few));
    };
    for (uint64_t number = 0; !Enough(); ++number) {
      await(kCallsAtOnce - 1);
      auto shot = std::make_shared<Shot>();
      shot->wanted = &cases_[random() % cases_.size()];
      const bool cancel = random() % 8 == 0, hurry = random() % 8 == 0;
      shot->may_fail = cancel || hurry;
      client->Prepare(&shot->context,
                      hurry ? absl::Milliseconds(1 + random() % 40) : absl::Seconds(kPatience));
      {
        absl::MutexLock lock(&running->mu);
        ++running->calls;
      }
      ++tally_.sent;
      const auto done = [this, running, shot](const grpc::Status& status, bool right) {
        tally_.End(status, shot->may_fail);
        if (status.ok() && !right) tally_.Wrong("an answer is not the one of its case alone");
        absl::MutexLock lock(&running->mu);
        --running->calls;
      };
      switch (random() % 16) {
        case 0:
          client->stub().async()->GetModelInfo(&shot->context, &shot->info_request, &shot->info,
                                               [done, shot](const grpc::Status& status) {
                                                 done(status, shot->info.has_tokenizer());
                                               });
          break;
        case 1:
        case 2:
        case 3:
          client->stub().async()->Tokenize(
              &shot->context, &shot->wanted->tokenize, &shot->tokenized,
              [done, shot](const grpc::Status& status) {
                done(status, shot->tokenized.SerializeAsString() ==
                                 shot->wanted->tokenized.SerializeAsString());
              });
          break;
        default:
          shot->encode = shot->wanted->encode;
          for (int i = 0; i < shot->encode.inputs_size(); ++i)
            shot->encode.mutable_inputs(i)->set_id(absl::StrCat(number, ".", i));
          client->stub().async()->Encode(
              &shot->context, &shot->encode, &shot->encoded,
              [done, shot](const grpc::Status& status) { done(status, Right(*shot)); });
      }
      if (cancel) to_cancel.push_back(shot);
      if (to_cancel.size() > random() % 4) {
        to_cancel.front()->context.TryCancel();
        to_cancel.pop_front();
      }
    }
    await(0);
  }

  static bool Right(const Shot& shot) {
    if (shot.encoded.encodings_size() != shot.encode.inputs_size()) return false;
    for (int i = 0; i < shot.encode.inputs_size(); ++i) {
      const v1::Encoding& got = shot.encoded.encodings(i);
      if (got.id() != shot.encode.inputs(i).id()) return false;
      if (!SameEncoding(shot.wanted->encoded.encodings(i), got)) return false;
    }
    return true;
  }

  // Streams of the first inputs of the cases. Every fourth is cancelled in the middle, every third
  // is read slowly. The ids of the answers show which items are lost or answered twice.
  void RunStreams(uint64_t seed) {
    Client* const client = NewClient();
    for (int number = 0; !Enough(); ++number) {
      const bool cancel = number % 4 == 3, slow = number % 3 == 2;
      grpc::ClientContext context;
      client->Prepare(&context, absl::Seconds(600));
      const auto stream = client->stub().EncodeStream(&context);
      const int items =
          static_cast<int>(std::min<int64_t>(kStreamItems, std::max<int64_t>(50, requests_ / 20)));
      std::mt19937_64 random(seed * 7919 + number);
      std::vector<const Case*> wanted(items);
      for (const Case*& one : wanted) one = &cases_[random() % cases_.size()];
      std::atomic<int> written = 0;
      std::thread writer([&] {
        for (int i = 0; i < items; ++i) {
          v1::EncodeStreamRequest request;
          *request.mutable_input() = wanted[i]->encode.inputs(0);
          *request.mutable_options() = wanted[i]->encode.options();
          request.mutable_input()->set_id(absl::StrCat(i));
          if (!stream->Write(request)) return;
          ++written;
        }
        stream->WritesDone();
      });
      std::vector<int> seen(items);
      v1::EncodeStreamResponse response;
      for (int read = 0; stream->Read(&response); ++read) {
        const v1::Encoding& got = response.encoding();
        const int item = std::atoi(got.id().c_str());
        if (item < 0 || item >= items) {
          tally_.Wrong("a stream's answer has an id that was not sent");
          continue;
        }
        ++seen[item];
        if (got.has_status()) {
          tally_.Wrong(absl::StrCat("a stream's item failed: ", got.status().message()));
        } else if (!SameEncoding(wanted[item]->encoded.encodings(0), got)) {
          tally_.Wrong("a stream's answer is not the one of its case alone");
        }
        if (slow && read % 16 == 0) absl::SleepFor(absl::Milliseconds(3));
        if (cancel && read == items / 2) context.TryCancel();
      }
      writer.join();
      const grpc::Status status = stream->Finish();
      tally_.sent += items;
      tally_.End(status, cancel, items);
      for (int i = 0; i < items; ++i) {
        tally_.doubled += seen[i] > 1;
        tally_.lost += !cancel && seen[i] == 0;
      }
    }
  }

  void RunTokens(uint64_t seed) {
    Client* const client = NewClient();
    std::mt19937_64 random(seed);
    while (!Enough()) {
      const Case& wanted = cases_[random() % cases_.size()];
      const bool cancel = random() % 8 == 0, slow = random() % 16 == 0;
      grpc::ClientContext context;
      client->Prepare(&context, absl::Seconds(kPatience));
      ++tally_.sent;
      const auto reader = client->stub().EncodeTokens(&context, wanted.tokens);
      if (cancel) context.TryCancel();
      if (slow) absl::SleepFor(absl::Milliseconds(random() % 20));
      TokenAnswer answer;
      for (v1::EncodeTokensResponse part; reader->Read(&part);) answer.Take(part);
      const grpc::Status status = reader->Finish();
      tally_.End(status, cancel);
      if (!status.ok()) continue;
      if (!answer.in_order ||
          answer.end.SerializeAsString() != wanted.token_end.SerializeAsString() ||
          !SameDirection(wanted.token_values, answer.values,
                         LeastCosine(wanted.tokens.options().vector_format())))
        tally_.Wrong("token vectors are not those of their case alone");
    }
  }

  void RunStops(const std::atomic<bool>& over) {
    std::mt19937_64 random(seed_ + 5);
    while (!over) {
      absl::SleepFor(kPauseBetweenStops);
      server_.Signal(SIGSTOP);
      absl::SleepFor(kMaxStop * (static_cast<double>(random() % 1000) / 1000));
      server_.Signal(SIGCONT);
      ++tally_.pauses;
    }
  }

  const Server& server_;
  const int64_t requests_;
  const uint64_t seed_;
  std::vector<Case> cases_;
  absl::Mutex clients_mu_;
  std::vector<std::unique_ptr<Client>> clients_ ABSL_GUARDED_BY(clients_mu_);
  int unanswerable_ = 0;
  Tally tally_;
};

// What the server counted that the callers did not see, as sentences; none where all agrees.
std::vector<std::string> Disagreements(const std::map<std::string, double>& before,
                                       const std::map<std::string, double>& after,
                                       const Tally& tally) {
  double calls = 0, ok = 0;
  std::vector<std::string> wrong;
  for (const auto& [name, value] : after) {
    const auto was = before.find(name);
    const double more = value - (was == before.end() ? 0 : was->second);
    if (name.starts_with("longspan_requests_total{")) {
      // With quotes around the label's value whatever the order of the labels is.
      calls += more;
      if (name.find("code=\"OK\"") != std::string::npos) ok += more;
      for (const char* bad : {"\"INTERNAL\"", "\"UNKNOWN\"", "\"DATA_LOSS\"", "\"UNAVAILABLE\""}) {
        if (more > 0 && name.find(bad) != std::string::npos)
          wrong.push_back(absl::StrCat(name, " is ", more));
      }
    }
    for (const char* gauge : {"longspan_queue_texts", "longspan_queue_tokens"}) {
      if (name == gauge && value != 0)
        wrong.push_back(absl::StrCat(name, " is ", value, " at rest"));
    }
  }
  // A call that its caller gave up may never have reached the server, or have been answered there.
  if (calls > static_cast<double>(tally.calls))
    wrong.push_back(
        absl::StrCat("the server counts ", calls, " calls, the callers ", tally.calls.load()));
  if (ok < static_cast<double>(tally.ok_calls))
    wrong.push_back(
        absl::StrCat("the server counts ", ok, " answers, the callers ", tally.ok_calls.load()));
  if (calls == 0) wrong.push_back("the server counts no call");
  return wrong;
}

int Main(const std::string& program, const std::string& fixtures, int64_t requests, uint64_t seed) {
  Server server(program, fixtures);
  if (!server.started())
    return std::fprintf(stderr, "the server did not start: %s\n", server.Log().c_str()), 1;
  Chaos chaos(server, requests, seed);
  if (!chaos.Prepare()) return std::fprintf(stderr, "a case was refused that is sent alone\n"), 1;
  const auto before = server.Metrics();
  const absl::Time start = absl::Now();
  std::atomic<bool> over = false;
  int64_t early_mib = 0;
  std::thread progress([&] {
    while (!over) {
      absl::SleepFor(absl::Milliseconds(500));
      const int64_t sent = chaos.tally().sent;
      if (early_mib == 0 && sent > requests / 10) early_mib = server.ResidentMiB();
      if (isatty(STDERR_FILENO) != 0)
        std::fprintf(stderr, "\r%lld requests ", static_cast<long long>(sent));
    }
  });
  chaos.Run();
  over = true;
  progress.join();
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  // Calls that were given up still end on the server; it counts them then.
  std::vector<std::string> wrong;
  for (int i = 0; i < 100; ++i) {
    wrong = Disagreements(before, server.Metrics(), chaos.tally());
    if (wrong.empty()) break;
    absl::SleepFor(absl::Milliseconds(100));
  }
  const int64_t end_mib = server.ResidentMiB();
  const int code = server.Stop();
  const Tally& tally = chaos.tally();
  const nlohmann::ordered_json report = {{"requests", tally.ended.load()},
                                         {"calls", tally.calls.load()},
                                         {"answered", tally.answered.load()},
                                         {"cancelled", tally.cancelled.load()},
                                         {"expired", tally.expired.load()},
                                         {"refused_for_their_deadline", tally.refused.load()},
                                         {"server_stopped_times", tally.pauses.load()},
                                         {"lost", tally.lost + tally.sent - tally.ended},
                                         {"doubled", tally.doubled.load()},
                                         {"wrong_answer", tally.wrong_answer.load()},
                                         {"unexpected_code", tally.wrong_code.load()},
                                         {"metrics_disagree", wrong},
                                         {"exit_code", code},
                                         {"seconds", seconds},
                                         {"resident_mib_after_10_percent", early_mib},
                                         {"resident_mib_at_the_end", end_mib}};
  std::printf("%s\n", report.dump(2).c_str());
  return tally.good() && wrong.empty() && code == 0 ? 0 : 1;
}

}  // namespace
}  // namespace longspan

int main(int argc, char** argv) {
  if (argc < 3) return std::fprintf(stderr, "usage: chaos SERVER FIXTURES [REQUESTS] [SEED]\n"), 2;
  return longspan::Main(argv[1], argv[2], argc > 3 ? std::atoll(argv[3]) : 1'000'000,
                        argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 1);
}
