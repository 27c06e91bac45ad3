#include "core/backend/upload_log.h"

#include <c10/util/Exception.h>

#include <cstring>

#include "core/backend/backend.h"

namespace longspan {
namespace {

bool AreSame(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         (a.nbytes() == 0 || std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0);
}

}  // namespace

UploadLog::InForce::InForce(UploadLog& log, const Backend& backend, bool reads)
    : backend_(backend), before_(backend.UseLog(&log)) {
  log.reads_ = reads;
  log.next_ = 0;
}

UploadLog::InForce::~InForce() { backend_.UseLog(before_); }

at::Tensor UploadLog::Take(const at::Tensor& host, const std::function<at::Tensor()>& upload) {
  const at::Tensor values = host.contiguous();
  if (!reads_) {
    entries_.push_back({values.clone(), upload()});
    return entries_.back().on_device;
  }
  TORCH_CHECK(next_ < entries_.size() && AreSame(entries_[next_].host, values), "upload ", next_,
              " of a run differs from that of the run before: ", host.sizes(), " ",
              host.scalar_type());
  return entries_[next_++].on_device;
}

}  // namespace longspan
