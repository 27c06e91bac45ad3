// EncodeWork: the work on one text that the model reads: it goes through the pipeline as one
// EncodeTask. What the message and its answer look like is the derived class's part (Read,
// MakeAnswer), which finds the result in document_ and timings_.
//
// Lifetime and thread safety: those of an ItemWork (item_work.h).
#pragma once

#include "server/batching/encode_task.h"
#include "server/rpc/item_work.h"
#include "server/wire/vector_format.h"

namespace longspan {

class EncodeWork : public ItemWork {
 public:
  const EncodeInput* input() const final { return &input_; }
  AdmissionClaim Claim(const ServiceParts& parts) const final;
  int64_t VectorBytes(const ServiceParts& parts) const override;
  void Begin(const ServiceParts& parts, WorkOrder order) final;

 protected:
  // Before the task is made: what it needs beside what all have.
  virtual void Complete(const ServiceParts& /*parts*/, EncodeTask::Params* /*params*/) {}
  // An error of the engine in the words of the derived class's contract.
  virtual absl::Status Translate(absl::Status status) const { return status; }
  // Values of the answer beside those of document_.
  virtual int64_t NumOtherValues() const { return 0; }

  // Set by Read.
  EncodeInput input_;
  VectorFormat format_ = VectorFormat::kFloat32;
  // Set before MakeAnswer.
  EncodedDocument document_;
  StageTimings timings_;

 private:
  WorkResult Take(absl::StatusOr<EncodedDocument> result, const StageTimings& timings);
};

}  // namespace longspan
