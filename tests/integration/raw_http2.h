// RawHttp2: a connection that speaks HTTP/2 frame by frame, for what gRPC's own clients never do:
// pings at any time. RFC 9113 describes the frames, RFC 7541 the header block.
//
// Thread safety: none; one thread uses it.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
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
    std::string block;
    for (const auto& [name, value] :
         std::vector<std::pair<std::string, std::string>>{{":method", "POST"},
                                                          {":scheme", "http"},
                                                          {":path", path},
                                                          {":authority", "test"},
                                                          {"te", "trailers"},
                                                          {"content-type", "application/grpc"}}) {
      block += '\0';  // a literal that is not indexed, with its name
      block += static_cast<char>(name.size());
      block += name;
      block += static_cast<char>(value.size());
      block += value;
    }
    Send(Frame(kHeaders, kEndHeaders, 1, block));
    Send(
        Frame(kData, kEndStream, 1, std::string(1, '\0') + BigEndian(message.size(), 4) + message));
  }

  // Sends a ping. True once its answer is there, false where the connection is closed instead.
  bool Ping() {
    Send(Frame(kPing, 0, 0, "12345678"));
    while (true) {
      const std::string head = Receive(9);
      if (head.size() < 9) return false;
      size_t length = 0;
      for (int i = 0; i < 3; ++i) length = length << 8 | static_cast<uint8_t>(head[i]);
      const std::string body = Receive(length);
      if (head[3] == kSettings && head[4] == 0) Send(Frame(kSettings, kAck, 0, ""));
      if (head[3] == kPing && head[4] == kAck) return true;
      if (head[3] != kGoAway) continue;
      go_away_ = body.substr(8);  // behind the last stream's number and the error code
      return false;
    }
  }
  // The server's reason for closing the connection.
  const std::string& go_away() const { return go_away_; }

 private:
  enum Type : char { kData = 0, kHeaders = 1, kSettings = 4, kPing = 6, kGoAway = 7 };
  enum Flag : char { kAck = 1, kEndStream = 1, kEndHeaders = 4 };

  static std::string BigEndian(uint64_t value, int bytes) {
    std::string out;
    for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
    return out;
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
};

}  // namespace longspan
