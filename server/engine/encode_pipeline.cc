#include "server/engine/encode_pipeline.h"

#include <exception>
#include <new>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/batching/answer_room.h"
#include "server/batching/token_vector_buffer.h"
#include "server/text/text_preparation.h"

namespace longspan {
namespace {

// Token ids need no tokenizer. Up to this many are cut and checked on the calling thread, in less
// time than it takes to hand them to another one.
constexpr size_t kInlineTokenIds = 4096;

absl::StatusOr<PreparedText> PrepareWithoutThrowing(const EncodeInput& input,
                                                    const PreparationContext& context) {
  try {
    return PrepareText(input, context);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(input.field, " does not fit in memory"));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat(input.field, " could not be prepared: ", error.what()));
  }
}

}  // namespace

EncodePipeline::EncodePipeline(PreparationContext context, Admission* admission,
                               TokenizerPool* tokenizers, BatchScheduler* scheduler)
    : context_(std::move(context)),
      admission_(admission),
      tokenizers_(tokenizers),
      scheduler_(scheduler) {}

void EncodePipeline::Submit(std::shared_ptr<EncodeTask> task) {
  const EncodeInput& input = task->input();
  if (input.text.empty() && input.token_ids.size() <= kInlineTokenIds) return Prepare(task);
  const auto bytes =
      static_cast<int64_t>(input.text.size() + input.token_ids.size() * sizeof(int32_t));
  tokenizers_->Submit(bytes, [this, task = std::move(task)](const absl::Status& status) {
    if (status.ok()) {
      Prepare(task);
    } else {
      task->Complete(status);
    }
  });
}

absl::Status EncodePipeline::Reserve(EncodeTask& task, const PreparedText& prepared) {
  std::vector<int64_t> lengths;
  lengths.reserve(prepared.pieces.size());
  for (const TextPiece& piece : prepared.pieces)
    lengths.push_back(static_cast<int64_t>(piece.token_ids.size()));
  const int64_t learn_from = task.input().text.empty() ? 0 : prepared.tokens_total;
  absl::Status status = admission_->Resize(task.permit(), lengths, learn_from, task.deadline());
  if (status.ok() && task.answer() != nullptr) {
    status = task.answer()->AddText(!prepared.document.empty(),
                                    static_cast<int64_t>(prepared.spans.size()));
    if (absl::IsInvalidArgument(status)) status = AtField(status, task.input().field);
  }
  if (!status.ok() || task.token_vectors() == nullptr) return status;
  const int64_t row_bytes = context_.model->token_dimensions * static_cast<int64_t>(sizeof(float));
  absl::StatusOr<OutputReservation> room =
      admission_->ReserveOutput(prepared.num_piece_tokens() * row_bytes);
  if (!room.ok()) return room.status();
  task.token_vectors()->SetReservation(*std::move(room));
  return absl::OkStatus();
}

void EncodePipeline::Prepare(const std::shared_ptr<EncodeTask>& task) {
  if (absl::Status status = task->Abandoned(); !status.ok()) {
    task->Complete(std::move(status));
    return;
  }
  task->BeginPreparation();
  absl::StatusOr<PreparedText> prepared = PrepareWithoutThrowing(task->input(), context_);
  absl::Status status = prepared.status();
  if (status.ok()) status = Reserve(*task, *prepared);
  if (!status.ok()) {
    task->Complete(std::move(status));
    return;
  }
  task->SetPrepared(*std::move(prepared));
  scheduler_->Submit(task);
}

}  // namespace longspan
