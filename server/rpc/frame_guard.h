// FrameGuard: what one HTTP/2 connection may ask of the transport, judged frame by frame from the
// bytes that the client sends (RFC 9113), before gRPC reads them. gRPC 1.51 has no such bounds.
//
//   header blocks   A block (HEADERS and its CONTINUATION frames) has at most kMaxHeaderBlockBytes
//                   bytes in at most kMaxHeaderFrames frames. gRPC keeps what it cannot yet parse
//                   and parses it from its beginning with each read, so a header integer that never
//                   ends (0x80 for ever) costs the square of its length, on the threads that serve
//                   everybody. Its limit of metadata counts parsed headers only, and begins anew
//                   with each frame.
//   resets          RST_STREAM frames, at kResetsPerSecond after the first kMaxResets. A call that
//                   is begun and reset costs the server a call and the client 30 bytes ("rapid
//                   reset", CVE-2023-44487).
//   idle frames     Frames that move no data (PING, SETTINGS, PRIORITY, empty DATA or CONTINUATION,
//                   unknown types, headers of streams that have ended), at kIdleFramesPerSecond
//                   after the first kMaxIdleFrames. WINDOW_UPDATE has a budget of its own, because
//                   a client that reads fast sends many: kWindowUpdatesPerSecond after the first
//                   kMaxWindowUpdates.
//
// A frame's payload is never looked at.
//
// Thread safety: none; the connection's reader uses it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

namespace longspan {

class FrameGuard {
 public:
  using Clock = std::chrono::steady_clock;

  // A call's metadata within its limit (kMaxTransportMetadataBytes) takes no more bytes than the
  // limit counts: each entry counts 32 more than its text.
  static constexpr int64_t kMaxHeaderBlockBytes = 64 << 10;
  // Clients fill frames of 16 KiB.
  static constexpr int kMaxHeaderFrames = 16;
  // A client that gives 256 calls deadlines of a second each, and none is met, sends 256 a second.
  static constexpr double kMaxResets = 4'000;
  static constexpr double kResetsPerSecond = 500;
  static constexpr double kMaxIdleFrames = 10'000;
  static constexpr double kIdleFramesPerSecond = 1'000;
  // Two for each DATA frame of 16 KiB: 400 MB of answers a second.
  static constexpr double kMaxWindowUpdates = 100'000;
  static constexpr double kWindowUpdatesPerSecond = 50'000;

  enum class Verdict { kFine, kHeaderBlock, kResets, kIdleFrames };

  // Reads the next bytes of the connection, its first ones in the first call. After a verdict other
  // than kFine the connection has to be closed.
  Verdict Read(std::string_view bytes, Clock::time_point now);

 private:
  // So many events at once, and so many each second after that.
  class Budget {
   public:
    Budget(double most, double per_second) : most_(most), per_second_(per_second), left_(most) {}
    // False where it is used up.
    bool Take(Clock::time_point now);

   private:
    const double most_;
    const double per_second_;
    double left_;
    Clock::time_point filled_{};
  };

  Verdict JudgeFrame(Clock::time_point now);
  Verdict JudgeHeaders(bool continuation, bool ends, uint32_t stream, Clock::time_point now);

  int preface_left_ = 24;  // bytes of "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
  uint8_t head_[9] = {};   // of the frame that is being read
  int head_bytes_ = 0;
  int64_t payload_left_ = 0;

  uint32_t last_stream_ = 0;  // the newest one that was opened
  int64_t block_bytes_ = 0;   // of the header block that is open
  int block_frames_ = 0;
  Budget resets_{kMaxResets, kResetsPerSecond};
  Budget idle_frames_{kMaxIdleFrames, kIdleFramesPerSecond};
  Budget window_updates_{kMaxWindowUpdates, kWindowUpdatesPerSecond};
};

}  // namespace longspan
