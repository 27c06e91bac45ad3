#include "core/checkpoint/sentence_keys.h"

namespace longspan {
namespace {

constexpr KeyRule kHonoured = KeyRule::kHonoured;
constexpr KeyRule kHarmless = KeyRule::kHarmless;
constexpr KeyRule kRefused = KeyRule::kRefused;

constexpr std::string_view kOldMode =
    "A flag of files from before pooling_mode; modes are concatenated in the order of this table.";
constexpr std::string_view kOnlySentence =
    "A module that reads or writes other values would make another vector.";
constexpr std::string_view kSpeed = "It changes how fast the published library computes, not what.";
constexpr std::string_view kHub = "It steers how files are found and loaded.";
constexpr std::string_view kTaskLength =
    "The longest text of encode_query or encode_document; the server cuts as each request says.";
constexpr std::string_view kSentence = kSentenceFamily;
constexpr std::string_view kMultiVector = kMultiVectorFamily;
constexpr std::string_view kOnlyTokens =
    "A module that reads or writes other values would make other vectors.";
constexpr std::string_view kToldLength =
    "The longest query or document of training. GetModelInfo tells it; the server cuts as each "
    "request says.";

constexpr KnownKey kModules[] = {
    {"type", kHonoured, "", "",
     "The module's class. Transformer, Pooling, Dense, Normalize and Dropout of "
     "sentence_transformers "
     "and, of a multi-vector model, MultiVectorMask are read, under their old and new paths, and "
     "PyLate's Dense; a class from anywhere else is refused."},
    {"path", kHonoured, "", "", "The module's folder, which must lie inside of the model's."},
    {"name", kHonoured, "", "",
     "Names must differ: of two modules with one name the library runs one."},
    {"idx", kHarmless, "", "", "Modules run in the order of the list."},
    {"kwargs", kHarmless, "", "", "Names of arguments of a call; the server gives none."},
};

constexpr KnownKey kPooling[] = {
    {"pooling_mode", kHonoured, "", "", "One mode, or a list that is concatenated in its order."},
    {"pooling_mode_cls_token", kHonoured, "", "", kOldMode},
    {"pooling_mode_max_tokens", kHonoured, "", "", kOldMode},
    {"pooling_mode_mean_tokens", kHonoured, "", "", kOldMode},
    {"pooling_mode_mean_sqrt_len_tokens", kHonoured, "", "", kOldMode},
    {"pooling_mode_weightedmean_tokens", kHonoured, "", "", kOldMode},
    {"pooling_mode_lasttoken", kHonoured, "", "", kOldMode},
    {"include_prompt", kHonoured, "", "", "false: the prompt's tokens are left out of pooling."},
    {"embedding_dimension", kHonoured, "", "", "Width of a token vector; it must be the model's."},
    {"word_embedding_dimension", kHonoured, "", "", "The old name of embedding_dimension."},
};

constexpr KnownKey kDense[] = {
    {"in_features", kHonoured, "", "", "Values that the layer takes."},
    {"out_features", kHonoured, "", "", "Values that the layer gives."},
    {"bias", kHonoured, "", "", "Whether a bias is added."},
    {"activation_function", kHonoured, "", "",
     "Identity, Tanh, ReLU, GELU or SiLU under their paths in torch.nn; the library replaces a "
     "function from anywhere else by Tanh, which is refused here."},
    {"use_residual", kHonoured, "", "", "Whether the input is added to the output."},
    {"module_input_name", kRefused, kSentence, "\"sentence_embedding\"", kOnlySentence},
    {"module_input_name", kRefused, kMultiVector, "\"token_embeddings\"", kOnlyTokens},
    {"module_output_name", kRefused, kSentence, "\"sentence_embedding\"", kOnlySentence},
    {"module_output_name", kRefused, kMultiVector, "\"token_embeddings\"", kOnlyTokens},
    {"input_key", kRefused, kSentence, "\"sentence_embedding\"", kOnlySentence},
    {"input_key", kRefused, kMultiVector, "\"token_embeddings\"", kOnlyTokens},
    {"output_key", kRefused, kSentence, "\"sentence_embedding\"", kOnlySentence},
    {"output_key", kRefused, kMultiVector, "\"token_embeddings\"", kOnlyTokens},
};

constexpr KnownKey kNormalize[] = {
    {"module_input_name", kRefused, kSentence, "\"sentence_embedding\"", kOnlySentence},
    {"module_input_name", kHonoured, kMultiVector, "", "It must be token_embeddings."},
    {"module_output_name", kRefused, kSentence, "\"sentence_embedding\"", kOnlySentence},
    {"module_output_name", kRefused, kMultiVector, "\"token_embeddings\"", kOnlyTokens},
    {"input_key", kRefused, kSentence, "\"sentence_embedding\"", kOnlySentence},
    {"input_key", kRefused, kMultiVector, "\"token_embeddings\"", kOnlyTokens},
    {"output_key", kRefused, kSentence, "\"sentence_embedding\"", kOnlySentence},
    {"output_key", kRefused, kMultiVector, "\"token_embeddings\"", kOnlyTokens},
};

constexpr KnownKey kSentenceBert[] = {
    {"max_seq_length", kHonoured, "", "", "The longest text, in tokens."},
    {"do_lower_case", kHonoured, "", "",
     "true: text is made lower case in front of the tokenizer's own normaliser. Read only beside a "
     "modules.json, as in the library; without one, true is refused."},
    {"transformer_task", kRefused, "", "\"feature-extraction\"",
     "Other tasks put the head of a task behind the encoder."},
    {"modality_config.text.method", kRefused, "", "\"forward\"",
     "Another method makes other values."},
    {"modality_config.text.method_output_name", kRefused, "", "\"last_hidden_state\"",
     "Pooling reads the last hidden rows."},
    {"modality_config.text.format", kHarmless, "", "", "It is of messages only."},
    {"modality_config.message", kRefused, "", "",
     "Each text would become a message in the form of a chat template."},
    {"modality_config.image", kRefused, "", "", "Only text is encoded."},
    {"modality_config.audio", kRefused, "", "", "Only text is encoded."},
    {"modality_config.video", kRefused, "", "", "Only text is encoded."},
    {"module_output_name", kRefused, "", "\"token_embeddings\"", "Pooling reads token_embeddings."},
    {"message_format", kHarmless, "", "", "It is of messages only."},
    {"processing_kwargs", kRefused, "", "{}", "Arguments of the tokenizer's call."},
    {"unpad_inputs", kHarmless, "", "", kSpeed},
    {"query_length", kHarmless, kSentence, "", kTaskLength},
    {"document_length", kHarmless, kSentence, "", kTaskLength},
    {"query_expansion", kRefused, kSentence, "",
     "Queries would be filled up with tokens that are pooled."},
    {"query_length", kHonoured, kMultiVector, "", kToldLength},
    {"document_length", kHonoured, kMultiVector, "", kToldLength},
    {"query_expansion", kHonoured, kMultiVector, "",
     "Tokens that are put behind a query: token, by default the mask token, until the query is "
     "length tokens long. attend: whether the query's own tokens see them. strategy fixed: a "
     "query is no longer than length; min: it may be."},
    {"query_expansion.strategy", kHonoured, kMultiVector, "", "fixed or min."},
    {"query_expansion.attend", kHonoured, kMultiVector, "", "As above."},
    {"query_expansion.token", kHonoured, kMultiVector, "", "As above."},
    {"query_expansion.length", kHonoured, kMultiVector, "", "As above."},
    {"tokenizer_name_or_path", kRefused, "", "", "The tokenizer would come from another folder."},
    {"backend", kRefused, "", "\"torch\"", "Other files would hold the weights."},
    {"cache_dir", kHarmless, "", "", kHub},
    {"model_args.dtype", kHarmless, "", "", "Weights are converted to the dtype of the server."},
    {"model_args.torch_dtype", kHarmless, "", "",
     "Weights are converted to the dtype of the server."},
    {"model_args.attn_implementation", kHarmless, "", "", kSpeed},
    {"model_args.low_cpu_mem_usage", kHarmless, "", "", kHub},
    {"model_args.use_safetensors", kHarmless, "", "", kHub},
    {"model_args.device_map", kHarmless, "", "", kHub},
    {"model_args.trust_remote_code", kHarmless, "", "", "The library drops it."},
    {"model_args.add_pooling_layer", kHarmless, "", "", "BERT's pooler is not read."},
    {"model_args.*", kRefused, "", "", "An argument that may change the model."},
    {"model_kwargs.dtype", kHarmless, "", "", "Weights are converted to the dtype of the server."},
    {"model_kwargs.torch_dtype", kHarmless, "", "",
     "Weights are converted to the dtype of the server."},
    {"model_kwargs.attn_implementation", kHarmless, "", "", kSpeed},
    {"model_kwargs.low_cpu_mem_usage", kHarmless, "", "", kHub},
    {"model_kwargs.use_safetensors", kHarmless, "", "", kHub},
    {"model_kwargs.device_map", kHarmless, "", "", kHub},
    {"model_kwargs.trust_remote_code", kHarmless, "", "", "The library drops it."},
    {"model_kwargs.add_pooling_layer", kHarmless, "", "", "BERT's pooler is not read."},
    {"model_kwargs.*", kRefused, "", "", "An argument that may change the model."},
    {"tokenizer_args.use_fast", kHarmless, "", "", kSpeed},
    {"tokenizer_args.trust_remote_code", kHarmless, "", "", "The library drops it."},
    {"tokenizer_args.padding_side", kHarmless, "", "", "One text has no padding."},
    {"tokenizer_args.truncation_side", kHarmless, "", "", "The server cuts as each request says."},
    {"tokenizer_args.*", kRefused, "", "", "An argument that may change the tokens."},
    {"processor_kwargs.use_fast", kHarmless, "", "", kSpeed},
    {"processor_kwargs.trust_remote_code", kHarmless, "", "", "The library drops it."},
    {"processor_kwargs.padding_side", kHarmless, "", "", "One text has no padding."},
    {"processor_kwargs.truncation_side", kHarmless, "", "",
     "The server cuts as each request says."},
    {"processor_kwargs.*", kRefused, "", "", "An argument that may change the tokens."},
    {"config_args.trust_remote_code", kHarmless, "", "", "The library drops it."},
    {"config_args.*", kRefused, "", "", "It overrides a key of config.json; write it there."},
    {"config_kwargs.trust_remote_code", kHarmless, "", "", "The library drops it."},
    {"config_kwargs.*", kRefused, "", "", "It overrides a key of config.json; write it there."},
};

constexpr KnownKey kSentenceTransformer[] = {
    {"prompts", kHonoured, "", "",
     "Names and texts that a request may have put in front of its own."},
    {"default_prompt_name", kHonoured, "", "", "The prompt of requests that name none."},
    {"truncate_dim", kHonoured, kSentence, "", "How many values of the final vector are kept."},
    {"truncate_dim", kRefused, kMultiVector, "", "MultiVectorEncoder knows no such cut."},
    {"model_type", kRefused, kSentence, "\"SentenceTransformer\"",
     "A SparseEncoder or a CrossEncoder gives no vectors of this kind."},
    {"model_type", kHonoured, kMultiVector, "",
     "MultiVectorEncoder, or ColBERT of PyLate: a vector a token."},
    {"query_prefix", kHonoured, kMultiVector, "",
     "What stands in front of a query and its prompt, one token where the vocabulary has it. Of "
     "folders that PyLate saved, as are the keys below."},
    {"document_prefix", kHonoured, kMultiVector, "", "The same of a document."},
    {"query_length", kHonoured, kMultiVector, "",
     "Tokens to which queries are filled up, 32 by default."},
    {"document_length", kHonoured, kMultiVector, "", kToldLength},
    {"query_expansion", kHonoured, kMultiVector, "", "As in sentence_bert_config.json."},
    {"query_expansion.strategy", kHonoured, kMultiVector, "", "fixed or min."},
    {"query_expansion.attend", kHonoured, kMultiVector, "", "As there."},
    {"query_expansion.token", kHonoured, kMultiVector, "", "As there."},
    {"query_expansion.length", kHonoured, kMultiVector, "", "As there."},
    {"do_query_expansion", kHonoured, kMultiVector, "",
     "Whether queries are filled up; they are where a key of PyLate's stands in the file."},
    {"attend_to_expansion_tokens", kHonoured, kMultiVector, "",
     "Whether the query's own tokens see those that are added."},
    {"attend_to_mask_tokens", kHonoured, kMultiVector, "",
     "Another name of attend_to_expansion_tokens, which goes before it."},
    {"skiplist_words", kHonoured, kMultiVector, "",
     "Tokens of documents whose vectors are left out; punctuation by default."},
    {"similarity_fn_name", kHarmless, "", "",
     "It says how vectors are compared, not what they are."},
    {"requirements", kHarmless, "", "", "Versions of packages of the library's environment."},
    {"__version__", kHarmless, "", "", "A note of what wrote the file."},
};

constexpr KnownKey kMultiVectorMask[] = {
    {"skiplist_words", kHonoured, kMultiVector, "",
     "Tokens whose vectors are left out. What is no token of the vocabulary does nothing."},
    {"skiplist_tasks", kHonoured, kMultiVector, "",
     "Of which texts: document by default, query, or both."},
    {"keep_only_token_ids", kRefused, kMultiVector, "[]", "It keeps the tokens of images alone."},
};

constexpr KnownKey kArtifactMetadata[] = {
    {"query_token_id", kHonoured, kMultiVector, "",
     "The token in front of a query, [unused0] by default."},
    {"doc_token_id", kHonoured, kMultiVector, "",
     "The token in front of a document, [unused1] by default."},
    {"query_maxlen", kHonoured, kMultiVector, "",
     "Tokens to which queries are filled up, 32 by default."},
    {"doc_maxlen", kHonoured, kMultiVector, "", kToldLength},
    {"attend_to_mask_tokens", kHonoured, kMultiVector, "",
     "Whether the query's own tokens see those that are added."},
    {"mask_punctuation", kHonoured, kMultiVector, "",
     "Whether the vectors of punctuation in documents are left out; they are by default."},
    {"*", kHarmless, kMultiVector, "",
     "Settings of training, indexing and search, which the library does not read."},
};

}  // namespace

const KeyTable& ModulesKeys() {
  static constexpr KeyTable kTable = {"modules.json", kModules};
  return kTable;
}
const KeyTable& PoolingKeys() {
  static constexpr KeyTable kTable = {"1_Pooling/config.json", kPooling};
  return kTable;
}
const KeyTable& DenseKeys() {
  static constexpr KeyTable kTable = {"2_Dense/config.json", kDense};
  return kTable;
}
const KeyTable& NormalizeKeys() {
  static constexpr KeyTable kTable = {"3_Normalize/config.json", kNormalize};
  return kTable;
}
const KeyTable& SentenceBertKeys() {
  static constexpr KeyTable kTable = {"sentence_bert_config.json", kSentenceBert};
  return kTable;
}
const KeyTable& SentenceTransformerKeys() {
  static constexpr KeyTable kTable = {"config_sentence_transformers.json", kSentenceTransformer};
  return kTable;
}
const KeyTable& MultiVectorMaskKeys() {
  static constexpr KeyTable kTable = {"2_MultiVectorMask/config.json", kMultiVectorMask};
  return kTable;
}
const KeyTable& ArtifactMetadataKeys() {
  static constexpr KeyTable kTable = {"artifact.metadata", kArtifactMetadata};
  return kTable;
}

}  // namespace longspan
