// UploadLog: what a run uploads, in order, so that the same run finds it on the device when it is
// run again. A run that a device records (Backend::Record) must not upload anything, and reads for
// ever what was uploaded before it:
//
//   UploadLog log;
//   { const UploadLog::Writing writing(log, backend); run(x); }                  // remembers
//   { const UploadLog::Reading reading(log, backend); backend.Record(x, run); }  // uploads nothing
//
// While Writing or Reading lives, Backend::Upload asks the log on its thread. A run that uploads
// something else the second time ends with c10::Error. Proven by upload_log_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <vector>

namespace longspan {

class Backend;

class UploadLog {
 public:
  class InForce {
   public:
    InForce(const InForce&) = delete;
    InForce& operator=(const InForce&) = delete;
    ~InForce();

   protected:
    InForce(UploadLog& log, const Backend& backend, bool reads);

   private:
    const Backend& backend_;
    UploadLog* const before_;
  };
  struct Writing : InForce {
    Writing(UploadLog& log, const Backend& backend) : InForce(log, backend, /*reads=*/false) {}
  };
  struct Reading : InForce {
    Reading(UploadLog& log, const Backend& backend) : InForce(log, backend, /*reads=*/true) {}
  };

  // What stands for `host` on the device: `upload()`, or what that gave as the log was written.
  at::Tensor Take(const at::Tensor& host, const std::function<at::Tensor()>& upload);

 private:
  struct Entry {
    at::Tensor host;
    at::Tensor on_device;
  };

  std::vector<Entry> entries_;
  size_t next_ = 0;
  bool reads_ = false;
};

}  // namespace longspan
