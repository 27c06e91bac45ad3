// RawHttp2: a connection that speaks HTTP/2 frame by frame, for what gRPC's own clients never do:
// pings at any time, messages that never end, answers that are not read. RFC 9113 describes the
// frames, RFC 7541 the header block.
//
// Thread safety: none; one thread uses it.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace longspan {

class RawHttp2 {
 public:
  explicit RawHttp2(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    const timeval limit{.tv_sec = 20, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    Send(Frame(kSettings, 0, 0, ""));
  }
  ~RawHttp2() { close(fd_); }
  RawHttp2(const RawHttp2&) = delete;
  RawHttp2& operator=(const RawHttp2&) = delete;

  // Begins a call of `path` with one message, and ends its own side.
  void StartCall(const std::string& path, const std::string& message) {
    Open(1, path);
    Data(1, Message(message), /*end=*/true);
  }

  // A message with the prefix that gRPC puts in front of it. `declared`: the length that the prefix
  // tells, where it is not the message's.
  static std::string Message(const std::string& message, int64_t declared = -1) {
    return std::string(1, '\0') +
           BigEndian(declared < 0 ? message.size() : static_cast<uint64_t>(declared), 4) + message;
  }
  // Sends the headers of a call of `path`, on an odd stream number that was not used yet.
  void Open(uint32_t stream, const std::string& path,
            const std::vector<std::pair<std::string, std::string>>& metadata = {}) {
    std::vector<std::pair<std::string, std::string>> headers = {
        {":method", "POST"},    {":scheme", "http"}, {":path", path},
        {":authority", "test"}, {"te", "trailers"},  {"content-type", "application/grpc"}};
    headers.insert(headers.end(), metadata.begin(), metadata.end());
    std::string block;
    for (const auto& [name, value] : headers) {
      block += '\0';  // a literal that is not indexed, with its name
      block += static_cast<char>(name.size());
      block += name;
      block += static_cast<char>(value.size());
      block += value;
    }
    Send(Frame(kHeaders, kEndHeaders, stream, block));
    window_[stream] = initial_window_;
  }
  // Sends bytes of a call, which must fit its window.
  void Data(uint32_t stream, const std::string& bytes, bool end = false) {
    Send(Frame(kData, end ? kEndStream : 0, stream, bytes));
    window_[stream] -= static_cast<int64_t>(bytes.size());
    window_[0] -= static_cast<int64_t>(bytes.size());
  }
  // How many bytes the server takes on a stream now.
  int64_t Window(uint32_t stream) { return std::min(window_[stream], window_[0]); }
  // Reads one frame and keeps the windows. False where none comes: the connection is closed, or is
  // being closed, or has been silent for 20 s.
  bool Next() {
    const std::string head = Receive(9);
    if (head.size() < 9) return false;
    const std::string body = Receive(Number(head, 0, 3));
    const auto stream = static_cast<uint32_t>(Number(head, 5, 4));
    const char type = head[3], flags = head[4];
    if (type == kSettings && (flags & kAck) == 0) {
      for (size_t at = 0; at + 6 <= body.size(); at += 6) {
        if (Number(body, at, 2) == kInitialWindowSize)
          SetInitialWindow(static_cast<int64_t>(Number(body, at + 2, 4)));
      }
      Send(Frame(kSettings, kAck, 0, ""));
    } else if (type == kPing) {
      (flags & kAck) != 0 ? void(++num_pongs_) : Send(Frame(kPing, kAck, 0, body));
    } else if (type == kGoAway) {
      go_away_ = body.substr(8);  // behind the last stream's number and the error code
      return false;
    } else if (type == kWindowUpdate) {
      window_[stream] += static_cast<int64_t>(Number(body, 0, 4));
    } else if (type == kData) {
      received_[stream] += static_cast<int64_t>(body.size());
    } else if (type == kReset || (type == kHeaders && (flags & kEndStream) != 0)) {
      ended_.insert(stream);
    }
    return true;
  }
  // Whether the server has ended the call; its bytes so far.
  bool Ended(uint32_t stream) const { return ended_.contains(stream); }
  size_t num_ended() const { return ended_.size(); }
  int64_t Received(uint32_t stream) { return received_[stream]; }
  // Reads until the server has ended the call; false where it does not within 20 s of silence.
  bool AwaitEnd(uint32_t stream) {
    while (!Ended(stream)) {
      if (!Next()) return false;
    }
    return true;
  }

  // Sends a ping. True once its answer is there, false where the connection is closed instead.
  bool Ping() {
    Send(Frame(kPing, 0, 0, "12345678"));
    const int before = num_pongs_;
    while (num_pongs_ == before) {
      if (!Next()) return false;
    }
    return true;
  }
  // The server's reason for closing the connection.
  const std::string& go_away() const { return go_away_; }

 private:
  enum Type : char {
    kData = 0,
    kHeaders = 1,
    kReset = 3,
    kSettings = 4,
    kPing = 6,
    kGoAway = 7,
    kWindowUpdate = 8
  };
  static constexpr uint64_t kInitialWindowSize = 4;  // a setting
  enum Flag : char { kAck = 1, kEndStream = 1, kEndHeaders = 4 };

  static std::string BigEndian(uint64_t value, int bytes) {
    std::string out;
    for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
    return out;
  }
  static uint64_t Number(const std::string& bytes, size_t at, size_t count) {
    uint64_t number = 0;
    for (size_t i = at; i < at + count; ++i) number = number << 8 | static_cast<uint8_t>(bytes[i]);
    return number;
  }
  void SetInitialWindow(int64_t bytes) {
    for (auto& [stream, window] : window_) {
      if (stream != 0) window += bytes - initial_window_;
    }
    initial_window_ = bytes;
  }
  static std::string Frame(Type type, char flags, uint32_t stream, const std::string& body) {
    return BigEndian(body.size(), 3) + static_cast<char>(type) + flags + BigEndian(stream, 4) +
           body;
  }
  void Send(const std::string& bytes) const {
    (void)send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);  // a closed one shows at Receive
  }
  std::string Receive(size_t count) const {
    std::string bytes(count, '\0');
    size_t done = 0;
    while (done < count) {
      const ssize_t got = recv(fd_, bytes.data() + done, count - done, 0);
      if (got <= 0) break;
      done += static_cast<size_t>(got);
    }
    bytes.resize(done);
    return bytes;
  }

  const int fd_;
  std::string go_away_;
  int num_pongs_ = 0;
  int64_t initial_window_ = 65'535;                     // of a stream, by RFC 9113
  std::map<uint32_t, int64_t> window_ = {{0, 65'535}};  // by stream; 0 = the connection's
  std::map<uint32_t, int64_t> received_;
  std::set<uint32_t> ended_;
};

}  // namespace longspan
