#include "server/engine/encode_pipeline.h"

#include <exception>
#include <new>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/batching/answer_room.h"
#include "server/batching/token_group.h"
#include "server/batching/token_vector_buffer.h"
#include "server/text/lexical_preparation.h"
#include "server/text/text_preparation.h"

namespace longspan {
namespace {

// Token ids need no tokenizer. Up to this many, spans and global positions included, are cut and
// checked on the calling thread, in less time than it takes to hand them to another one.
constexpr size_t kInlineTokenIds = 4096;

bool IsSmallEnoughInline(const EncodeInput& input) {
  return input.text.empty() && !input.independent_spans &&
         input.token_ids.size() + input.spans.size() + input.global_positions.size() <=
             kInlineTokenIds;
}

// What of the input its preparation goes through.
int64_t BytesToPrepare(const EncodeInput& input) {
  return static_cast<int64_t>(input.text.size() +
                              (input.token_ids.size() + input.global_positions.size()) *
                                  sizeof(int32_t) +
                              (input.spans.size() + input.global_spans.size()) * sizeof(TextRange));
}

absl::StatusOr<PreparedText> PrepareWithoutThrowing(const EncodeInput& input,
                                                    const PreparationContext& context,
                                                    const PreparationControl& control) {
  try {
    absl::StatusOr<PreparedText> prepared = PrepareText(input, context, control);
    if (!prepared.ok() || !input.lexical.has_value()) return prepared;
    absl::Status status = AddLexicalVectors(input, control.stop, &*prepared);
    if (!status.ok()) return status;
    return prepared;
  } catch (const std::bad_alloc&) {
    return WithReason(WithRetryAfter(absl::ResourceExhaustedError(absl::StrCat(
                                         input.field, " does not fit in the memory that is free")),
                                     absl::Seconds(1)),
                      kReasonMemory);
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

void EncodePipeline::Submit(const std::shared_ptr<EncodeTask>& task) {
  if (IsSmallEnoughInline(task->input())) return Prepare(task);
  const int64_t bytes = BytesToPrepare(task->input());
  tokenizers_->Submit(
      task->client(), bytes,
      [this, task](const absl::Status& status) {
        if (status.ok()) {
          Prepare(task);
        } else {
          task->Complete(status);
        }
      },
      task->call_size().bytes);
}

// The lengths of independent spans were estimates when the pieces were planned.
absl::Status EncodePipeline::Reserve(EncodeTask& task, const PreparedText& prepared) {
  absl::Status status;
  if (task.input().independent_spans) {
    std::vector<TextShape> shapes;
    shapes.reserve(prepared.pieces.size());
    for (const TextPiece& piece : prepared.pieces) shapes.push_back(ShapeOf(piece, prepared.lsh));
    status = admission_->Resize(task.permit(), shapes, /*total_tokens=*/0, task.deadline());
  }
  const int64_t row_bytes = context_.model->token_dimensions * static_cast<int64_t>(sizeof(float));
  const int64_t rows =
      MostPooledRows(prepared.num_piece_tokens(), prepared.gap, task.input().token_pooling);
  const int64_t token_vector_bytes = task.token_vectors() == nullptr ? 0 : rows * row_bytes;
  if (status.ok() && task.answer() != nullptr) {
    status = task.answer()->AddText(!prepared.document.empty(),
                                    static_cast<int64_t>(prepared.spans.size()));
    if (status.ok()) {
      status = task.answer()->Add(token_vector_bytes +
                                  prepared.num_lexical_values() * AnswerRoom::kLexicalBytes);
    }
    if (absl::IsInvalidArgument(status)) status = AtField(status, task.input().field);
  }
  if (status.ok()) status = task.CheckAnswer(prepared);
  if (!status.ok() || task.token_vectors() == nullptr) return status;
  absl::StatusOr<OutputReservation> room = admission_->ReserveOutput(token_vector_bytes);
  if (!room.ok()) return room.status();
  task.token_vectors()->SetReservation(*std::move(room), prepared.gap);
  return absl::OkStatus();
}

void EncodePipeline::Prepare(const std::shared_ptr<EncodeTask>& task) {
  if (absl::Status status = task->Abandoned(); !status.ok()) {
    task->Complete(std::move(status));
    return;
  }
  task->BeginPreparation();
  const PreparationControl control{
      .stop = [&] { return task->Abandoned(); },
      .admit =
          [&](std::span<const TextShape> shapes, int64_t tokens_total) {
            const int64_t learn_from = task->input().text.empty() ? 0 : tokens_total;
            return admission_->Resize(task->permit(), shapes, learn_from, task->deadline());
          }};
  absl::StatusOr<PreparedText> prepared = PrepareWithoutThrowing(task->input(), context_, control);
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
