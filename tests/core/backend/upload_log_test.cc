#include "core/backend/upload_log.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/backend/portable_backend.h"

namespace longspan {
namespace {

class CountingBackend : public PortableBackend {
 public:
  CountingBackend() : PortableBackend(at::Device(at::kCPU)) {}
  mutable int copies = 0;

 protected:
  at::Tensor CopyToDevice(const at::Tensor& host) const override {
    ++copies;
    return PortableBackend::CopyToDevice(host);
  }
};

TEST(UploadLog, TheSameRunAgain_FindsWhatIsThere) {
  const CountingBackend backend;
  UploadLog log;
  at::Tensor first, second;
  {
    const UploadLog::Writing writing(log, backend);
    at::Tensor host = at::arange(5);
    first = backend.Upload(host);
    host.fill_(0);  // as callers may
    second = backend.Upload(at::arange(3));
  }
  for (int again = 0; again < 2; ++again) {
    const UploadLog::Reading reading(log, backend);
    EXPECT_EQ(backend.Upload(at::arange(5)).data_ptr(), first.data_ptr());
    EXPECT_EQ(backend.Upload(at::arange(3)).data_ptr(), second.data_ptr());
  }
  EXPECT_EQ(backend.copies, 2);
  EXPECT_TRUE(at::equal(first, at::arange(5)));
}

TEST(UploadLog, AnotherRun_IsRefused) {
  const CountingBackend backend;
  UploadLog log;
  {
    const UploadLog::Writing writing(log, backend);
    backend.Upload(at::arange(5));
  }
  for (const at::Tensor& other :
       {at::arange(4), at::arange(1, 6), at::arange(5).to(at::kInt), at::arange(5).view({5, 1})}) {
    const UploadLog::Reading reading(log, backend);
    EXPECT_THROW(backend.Upload(other), c10::Error);
  }
  const UploadLog::Reading reading(log, backend);
  backend.Upload(at::arange(5));
  EXPECT_THROW(backend.Upload(at::arange(5)), c10::Error) << "one more than before";
}

TEST(UploadLog, IsInForce_WhileItIsInScope_OnItsThread) {
  const CountingBackend backend;
  UploadLog log, inner;
  backend.Upload(at::arange(2));
  {
    const UploadLog::Writing writing(log, backend);
    std::thread([&] { backend.Upload(at::arange(7)); }).join();
    {
      const UploadLog::Writing other(inner, backend);
      backend.Upload(at::arange(3));
    }
    backend.Upload(at::arange(4));
  }
  backend.Upload(at::arange(2));
  EXPECT_EQ(backend.copies, 5);
  const UploadLog::Reading reading(log, backend);
  backend.Upload(at::arange(4));
  EXPECT_EQ(backend.copies, 5) << "the log holds nothing but this one";
}

}  // namespace
}  // namespace longspan
