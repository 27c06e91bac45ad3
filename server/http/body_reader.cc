#include "server/http/body_reader.h"

#include <algorithm>

namespace longspan {
namespace {

// Of extensions and trailers of one request. Nobody is known to need any.
constexpr size_t kMaxOverhead = 8 << 10;
// Digits of a chunk's size: 15 of them cannot overflow.
constexpr int kMaxDigits = 15;

}  // namespace

BodyReader::BodyReader(Framing framing, int64_t content_length, int64_t max_bytes)
    : chunked_(framing == Framing::kChunked),
      max_bytes_(max_bytes),
      part_(chunked_ ? Part::kSize : Part::kData),
      left_(chunked_ ? 0 : content_length) {
  if (!chunked_ && left_ == 0) state_ = State::kDone;
}

size_t BodyReader::Read(std::string_view in, std::string_view* data) {
  *data = {};
  size_t used = 0;
  while (used < in.size() && state_ == State::kMore) {
    if (part_ == Part::kData) return used + ReadData(in.substr(used), data);
    ReadByte(static_cast<unsigned char>(in[used]));
    ++used;
  }
  return used;
}

size_t BodyReader::ReadData(std::string_view in, std::string_view* data) {
  const size_t size =
      static_cast<size_t>(std::min<int64_t>(left_, static_cast<int64_t>(in.size())));
  *data = in.substr(0, size);
  bytes_ += static_cast<int64_t>(size);
  left_ -= static_cast<int64_t>(size);
  if (left_ > 0) return size;
  if (chunked_) {
    part_ = Part::kDataCr;
  } else {
    state_ = State::kDone;
  }
  return size;
}

void BodyReader::ReadByte(unsigned char byte) {
  // Blanks but no other control characters: a bare LF is where readers of chunks disagree.
  const bool in_text = part_ == Part::kExtension || part_ == Part::kTrailer;
  if (in_text && byte != '\r' && ((byte < 0x20 && byte != '\t') || byte == 0x7f)) {
    state_ = State::kBad;
    return;
  }
  if (in_text && ++overhead_ > kMaxOverhead) {
    state_ = State::kBad;
    return;
  }
  switch (part_) {
    case Part::kSize:
      return ReadSizeDigit(byte);
    case Part::kExtension:
      if (byte == '\r') part_ = Part::kSizeEnd;
      return;
    case Part::kSizeEnd:
      return byte == '\n' ? EndSize() : void(state_ = State::kBad);
    case Part::kDataCr:
      part_ = Part::kDataEnd;
      if (byte != '\r') state_ = State::kBad;
      return;
    case Part::kDataEnd:
      part_ = Part::kSize;
      if (byte != '\n') state_ = State::kBad;
      return;
    case Part::kTrailer:
      if (byte == '\r') {
        part_ = Part::kTrailerEnd;
      } else {
        ++line_bytes_;
      }
      return;
    case Part::kTrailerEnd:
      return byte == '\n' ? EndTrailer() : void(state_ = State::kBad);
    case Part::kData:
      return;
  }
}

void BodyReader::ReadSizeDigit(unsigned char byte) {
  const int lower = byte | 0x20;
  const int digit = byte >= '0' && byte <= '9'     ? byte - '0'
                    : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
                                                   : -1;
  if (digit >= 0 && digits_ < kMaxDigits) {
    left_ = left_ * 16 + digit;
    ++digits_;
  } else if (digits_ > 0 && byte == ';') {
    part_ = Part::kExtension;
  } else if (digits_ > 0 && byte == '\r') {
    part_ = Part::kSizeEnd;
  } else {
    state_ = State::kBad;
  }
}

void BodyReader::EndSize() {
  digits_ = 0;
  if (left_ == 0) {
    part_ = Part::kTrailer;
    line_bytes_ = 0;
  } else if (left_ > max_bytes_ - bytes_) {
    state_ = State::kTooLarge;
  } else {
    part_ = Part::kData;
  }
}

void BodyReader::EndTrailer() {
  if (line_bytes_ == 0) {
    state_ = State::kDone;
  } else {
    part_ = Part::kTrailer;
    line_bytes_ = 0;
  }
}

}  // namespace longspan
