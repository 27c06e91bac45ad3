#include "server/wire/model_info_encoder.h"

#include <google/protobuf/descriptor.h>

#include <string>

#include "core/runtime/libtorch_version.h"
#include "server/text/text_preparation.h"
#include "server/wire/enums.h"
#include "server/wire/input_decoder.h"
#include "server/wire/limits.h"

namespace longspan {
namespace {

void FillLimits(const ModelInfo& model, const ServerOptions& options, v1::Limits* out) {
  out->set_max_tokens(MaxTokensInForce(options, model));
  out->set_max_text_bytes(options.max_text_bytes);
  out->set_max_request_bytes(options.max_request_bytes);
  out->set_max_texts_per_request(options.max_texts_per_request);
  out->set_max_batch_tokens(options.max_batch_tokens);
  out->set_max_queue_tokens(options.max_queue_tokens);
  out->set_max_queue_seconds(options.max_queue_seconds);
  out->set_max_concurrent_streams(options.max_concurrent_streams);
  out->set_max_deadline_seconds(absl::ToDoubleSeconds(options.max_deadline));
  out->set_default_deadline_seconds(absl::ToDoubleSeconds(options.default_deadline));
  out->set_max_queue_bytes(options.max_queue_bytes);
  out->set_max_stream_inputs(options.max_stream_inputs);
  out->set_max_token_vector_bytes(options.max_token_vector_bytes);
  out->set_max_spans_per_text(kMaxSpansPerText);
  out->set_max_global_spans_per_text(options.max_global_spans_per_text);
  out->set_max_global_tokens(options.max_global_tokens);
  out->set_max_id_bytes(kMaxIdBytes);
  out->set_max_prompt_name_bytes(kMaxPromptNameBytes);
  out->set_max_tokens_set_by(std::string(MaxTokensSetBy(options, model)));
  out->set_max_uncut_bytes(options.max_uncut_bytes);
  out->set_max_collection_bytes(options.collections ? options.max_collection_bytes : 0);
  out->set_max_answer_bytes(options.max_answer_bytes);
  out->set_max_receiving_bytes(options.max_receiving_bytes);
  out->set_max_connections(options.max_connections);
  out->set_max_connections_per_client(options.max_connections_per_client);
}

void FillMultiVector(const MultiVector& model, v1::MultiVector* out) {
  out->set_query_length(model.query_length);
  out->set_document_length(model.document_length);
  for (const int32_t id : model.skipped_ids) out->add_skipped_token_ids(id);
  out->set_skips_in_queries(model.skips_in_queries && !model.skipped_ids.empty());
  out->set_skips_in_documents(model.skips_in_documents && !model.skipped_ids.empty());
  if (!model.expansion.has_value()) return;
  v1::QueryExpansion* expansion = out->mutable_expansion();
  expansion->set_length(model.expansion->length);
  expansion->set_is_fixed(model.expansion->is_fixed);
  expansion->set_is_attended(model.expansion->is_attended);
  expansion->set_token_id(model.expansion->token_id);
}

}  // namespace

std::vector<NamedLimit> LimitsInForce(const ModelInfo& model, const ServerOptions& options) {
  using google::protobuf::FieldDescriptor;
  v1::Limits limits;
  FillLimits(model, options, &limits);
  const google::protobuf::Reflection& values = *limits.GetReflection();
  std::vector<NamedLimit> named;
  for (int i = 0; i < limits.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = limits.GetDescriptor()->field(i);
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_UINT64) {
      named.push_back({field->name(), static_cast<double>(values.GetUInt64(limits, field))});
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
      named.push_back({field->name(), values.GetDouble(limits, field)});
    }
  }
  return named;
}

void FillModelInfo(const ModelInfo& model, bool has_tokenizer, const ServerOptions& options,
                   v1::GetModelInfoResponse* out) {
  out->set_model(model.name);
  out->set_architecture(model.architecture);
  out->set_dtype(std::string(DataTypeName(model.dtype)));
  out->set_device(model.device);
  out->set_dimensions(static_cast<uint32_t>(model.output_dimensions));
  out->set_token_dimensions(static_cast<uint32_t>(model.token_dimensions));
  out->set_vocab_size(model.vocab_size);
  for (const PoolingMode mode : model.pooling) out->add_pooling(std::string(PoolingModeName(mode)));
  out->set_normalize(model.normalize);
  for (const LayerAttention& layer : model.layers) {
    v1::LayerAttention* wire = out->add_layers();
    wire->set_kind(std::string(AttentionKindName(layer.kind)));
    wire->set_window(layer.window);
    wire->set_chunk_length(layer.chunk_length);
    wire->set_chunks_before(layer.chunks_before);
    wire->set_chunks_after(layer.chunks_after);
    wire->set_random_blocks(layer.random_blocks);
  }
  out->set_supports_global_attention(model.supports_global_attention);
  out->set_default_global_attention(WireGlobalAttention(model.default_global_attention));
  out->set_dense_up_to(model.dense_up_to);
  out->set_supports_hashing(model.supports_hashing);
  out->set_num_hashes(model.num_hashes);
  out->set_hash_seed(model.hash_seed);
  out->set_num_parameters(model.num_parameters);
  out->set_weight_bytes(model.weight_bytes);
  out->set_has_tokenizer(has_tokenizer);
  for (const auto& [name, prompt] : model.prompts) out->add_prompt_names(name);
  out->set_default_prompt_name(model.default_prompt_name);
  FillLimits(model, options, out->mutable_limits());
  out->set_server_version(LONGSPAN_VERSION);
  out->set_libtorch_version(std::string(LibTorchVersion()));
  out->set_num_replicas(static_cast<uint32_t>(options.replicas));
  out->set_threads_per_replica(static_cast<uint32_t>(options.threads));
  out->set_length_multiple(model.length_multiple);
  if (model.multi_vector.has_value())
    FillMultiVector(*model.multi_vector, out->mutable_multi_vector());
}

}  // namespace longspan
