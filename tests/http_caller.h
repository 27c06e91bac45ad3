// HttpCaller: one connection to an HTTP server of this machine, with TLS or without, that sends
// bytes as they are and reads one answer after the other.
//
// Thread safety: none; one thread uses it.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/raw_socket.h"
#include "tests/test_certificates.h"

namespace longspan {

struct HttpAnswer {
  int code = 0;                                // 0 = none came
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  bool complete = false;
  std::string raw_head;

  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

// What a caller with TLS shows and wants.
struct CallerTls {
  const TestIdentity* identity = nullptr;  // null = shows no certificate
  int max_version = 0;                     // 0 = the newest
  std::string protocols;                   // ALPN, each with its length before it
};

class HttpCaller {
 public:
  explicit HttpCaller(int port, const char* from = nullptr) : socket_(port, from) {}
  // Any certificate of the server is trusted.
  HttpCaller(int port, const CallerTls& tls) : socket_(port) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    if (tls.max_version > 0) SSL_CTX_set_max_proto_version(context_.get(), tls.max_version);
    if (tls.identity != nullptr) {
      SSL_CTX_use_certificate(context_.get(), tls.identity->certificate.get());
      SSL_CTX_use_PrivateKey(context_.get(), tls.identity->key.get());
    }
    ssl_.reset(SSL_new(context_.get()));
    if (!tls.protocols.empty()) {
      SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(tls.protocols.data()),
                          static_cast<unsigned>(tls.protocols.size()));
    }
    SSL_set_fd(ssl_.get(), socket_.fd());
    shaken_ = SSL_connect(ssl_.get()) == 1;
    ERR_clear_error();
  }

  const RawSocket& socket() const { return socket_; }
  SSL* ssl() const { return ssl_.get(); }
  bool shaken() const { return shaken_; }  // the handshake has come about
  // Of the certificate that the server shows; empty where it shows none.
  std::string CommonName() const {
    const std::unique_ptr<X509, decltype(&X509_free)> shown(SSL_get1_peer_certificate(ssl_.get()),
                                                            &X509_free);
    if (shown == nullptr) return "";
    char name[256] = {};
    X509_NAME_get_text_by_NID(X509_get_subject_name(shown.get()), NID_commonName, name,
                              sizeof(name));
    return name;
  }

  bool Send(std::string_view bytes) const {
    if (ssl_ == nullptr) return socket_.Send(bytes);
    return bytes.empty() || SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0;
  }

  // The next answer, with its body unless it is one to HEAD. 1xx are answers, too.
  HttpAnswer Receive(bool to_head = false) {
    HttpAnswer answer;
    while (in_.find("\r\n\r\n") == std::string::npos) {
      if (!More()) return answer;
    }
    const size_t head = in_.find("\r\n\r\n") + 4;
    answer.raw_head = in_.substr(0, head);
    in_.erase(0, head);
    ReadHead(&answer);
    if (to_head || answer.code < 200 || answer.code == 204 || answer.code == 304) {
      answer.complete = true;
    } else if (answer.header("transfer-encoding") == "chunked") {
      answer.complete = ReadChunks(&answer.body);
    } else if (answer.headers.contains("content-length")) {
      const auto size = static_cast<size_t>(std::atoll(answer.header("content-length").c_str()));
      answer.complete = Take(size, &answer.body);
    } else {
      while (More()) {
      }
      answer.body.swap(in_);
      answer.complete = true;
    }
    return answer;
  }
  HttpAnswer Ask(std::string_view request) {
    Send(request);
    return Receive();
  }
  HttpAnswer Get(std::string_view path, std::string_view headers = "") {
    return Ask(absl::StrCat("GET ", absl::string_view(path.data(), path.size()),
                            " HTTP/1.1\r\nHost: test\r\n",
                            absl::string_view(headers.data(), headers.size()), "\r\n"));
  }
  HttpAnswer Post(std::string_view path, std::string_view body, std::string_view headers = "") {
    return Ask(absl::StrCat("POST ", absl::string_view(path.data(), path.size()),
                            " HTTP/1.1\r\nHost: test\r\nContent-Length: ", body.size(), "\r\n",
                            absl::string_view(headers.data(), headers.size()), "\r\n",
                            absl::string_view(body.data(), body.size())));
  }
  // One more chunk of an answer whose head was read with `to_head`; empty at its end.
  std::string ReceiveChunk() {
    std::string chunk;
    ReadChunk(&chunk);
    return chunk;
  }
  // The other side ends the connection, with nothing before that, within patience.
  bool Ends() { return in_.empty() && !More() && ended_; }

 private:
  bool More() {
    char buffer[16 << 10];
    const ssize_t n = ssl_ == nullptr ? recv(socket_.fd(), buffer, sizeof(buffer), 0)
                                      : SSL_read(ssl_.get(), buffer, sizeof(buffer));
    if (ssl_ != nullptr) ERR_clear_error();
    ended_ =
        n == 0 || (n < 0 && (errno == ECONNRESET || errno == EPIPE)) || (ssl_ != nullptr && n <= 0);
    if (n <= 0) return false;
    in_.append(buffer, static_cast<size_t>(n));
    return true;
  }
  bool Take(size_t size, std::string* out) {
    while (in_.size() < size) {
      if (!More()) return false;
    }
    out->append(in_, 0, size);
    in_.erase(0, size);
    return true;
  }
  bool ReadChunk(std::string* out) {
    while (in_.find("\r\n") == std::string::npos) {
      if (!More()) return false;
    }
    const size_t size = std::strtoull(in_.c_str(), nullptr, 16);
    in_.erase(0, in_.find("\r\n") + 2);
    std::string end;
    return Take(size, out) && Take(2, &end) && end == "\r\n";
  }
  bool ReadChunks(std::string* body) {
    while (true) {
      std::string chunk;
      if (!ReadChunk(&chunk)) return false;
      if (chunk.empty()) return true;
      body->append(chunk);
    }
  }
  static void ReadHead(HttpAnswer* answer) {
    const std::string& head = answer->raw_head;
    if (head.size() > 12) answer->code = std::atoi(head.c_str() + 9);
    for (size_t at = head.find("\r\n") + 2; at + 2 < head.size();) {
      const size_t end = head.find("\r\n", at);
      const size_t colon = head.find(": ", at);
      answer->headers[absl::AsciiStrToLower(head.substr(at, colon - at))] =
          head.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
  }

  RawSocket socket_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{nullptr, &SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, &SSL_free};
  bool shaken_ = false;
  std::string in_;
  bool ended_ = false;
};

}  // namespace longspan
