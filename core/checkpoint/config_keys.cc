#include "core/checkpoint/config_keys.h"

#include <algorithm>
#include <iterator>

namespace longspan {
namespace {

// Values of "model_type", by what the families have in common.
constexpr std::string_view kAll = "";
constexpr std::string_view kBerts = "bert roberta xlm-roberta camembert";
constexpr std::string_view kBertShaped =  // layers that are written like BERT's
    "bert roberta xlm-roberta camembert longformer big_bird";
constexpr std::string_view kAllButLed =
    "bert roberta xlm-roberta camembert longformer big_bird modernbert reformer";
constexpr std::string_view kAllButReformer =
    "bert roberta xlm-roberta camembert longformer big_bird modernbert led";
constexpr std::string_view kWithIntermediate =
    "bert roberta xlm-roberta camembert longformer big_bird modernbert";
constexpr std::string_view kWithHiddenAct =
    "bert roberta xlm-roberta camembert longformer big_bird reformer";
constexpr std::string_view kLongformer = "longformer";
constexpr std::string_view kLed = "led";
constexpr std::string_view kWindowed = "longformer led";
constexpr std::string_view kBigBird = "big_bird";
constexpr std::string_view kModernBert = "modernbert";
constexpr std::string_view kReformer = "reformer";

constexpr KeyRule kHonoured = KeyRule::kHonoured;
constexpr KeyRule kHarmless = KeyRule::kHarmless;
constexpr KeyRule kRefused = KeyRule::kRefused;

constexpr std::string_view kTraining = "It acts in training only.";
constexpr std::string_view kStart = "It sets the weights that training starts from.";
constexpr std::string_view kHead =
    "It belongs to the head of a task; the encoder's vectors are taken "
    "in front of every head.";
constexpr std::string_view kDecoder = "It belongs to the decoder, which is not read.";
constexpr std::string_view kGeneration = "It steers the generation of text.";
constexpr std::string_view kOutputs =
    "It says which outputs the published library returns, not what "
    "is in them.";
constexpr std::string_view kSpecialToken =
    "The ids of special tokens come from the tokenizer's files.";
constexpr std::string_view kOldKey =
    "Old versions of the library wrote it; it was never read or no "
    "longer is.";
constexpr std::string_view kSpeed = "It changes how fast the published library computes, not what.";
constexpr std::string_view kScaling =
    "The same key of rope_parameters for both kinds of layers, which it overrides.";
constexpr std::string_view kNotOfFamily = "The published model of this family does not read it.";

constexpr KnownKey kKeys[] = {
    // What the model is.
    {"model_type", kHonoured, kAll, "", "It chooses the architecture."},
    {"architectures", kHonoured, kAll, "",
     "A causal language model without modules.json is pooled by its last token, every other one by "
     "the mean."},
    {"_name_or_path", kHarmless, kAll, "", "A note of where the model came from."},
    {"name_or_path", kHarmless, kAll, "", "A note of where the model came from."},
    {"transformers_version", kHarmless, kAll, "", "A note of what wrote the file."},
    {"_commit_hash", kHarmless, kAll, "", "A note of where the model came from."},
    {"auto_map", kHarmless, kAll, "",
     "Python code of the folder is never run; the published library does not run it either, unless "
     "it is told to trust it."},
    {"custom_pipelines", kHarmless, kAll, "", "Python code of the folder is never run."},
    {"dtype", kHarmless, kAll, "", "Weights are converted to the dtype that the server is given."},
    {"torch_dtype", kHarmless, kAll, "",
     "Weights are converted to the dtype that the server is given."},

    // Sizes.
    {"vocab_size", kHonoured, kAll, "", "Rows of the table of word vectors."},
    {"hidden_size", kHonoured, kAllButLed, "", "Width of the hidden rows."},
    {"d_model", kHonoured, kLed, "", "Width of the hidden rows."},
    {"hidden_size", kHonoured, kLed, "", "Another name of d_model, which it overrides."},
    {"num_hidden_layers", kHonoured, kAllButLed, "",
     "Layers that run: the first ones, where the weights hold more."},
    {"encoder_layers", kHonoured, kLed, "",
     "Layers that run: the first ones, where the weights hold more."},
    {"num_hidden_layers", kHonoured, kLed, "",
     "Another name of encoder_layers, which it overrides."},
    {"num_attention_heads", kHonoured, kAllButLed, "", "Heads of the attention."},
    {"encoder_attention_heads", kHonoured, kLed, "", "Heads of the attention."},
    {"num_attention_heads", kHonoured, kLed, "",
     "Another name of encoder_attention_heads, which it overrides."},
    {"intermediate_size", kHonoured, kWithIntermediate, "", "Width inside the feed-forward part."},
    {"encoder_ffn_dim", kHonoured, kLed, "", "Width inside the feed-forward part."},
    {"feed_forward_size", kHonoured, kReformer, "", "Width inside the feed-forward part."},
    {"intermediate_size", kHarmless, kReformer, "", kOldKey},
    {"attention_head_size", kHonoured, kReformer, "", "Width of one head."},
    {"head_dim", kHonoured, kModernBert, "",
     "Width of one head in the rotary positions; only hidden_size / num_attention_heads works."},
    {"max_position_embeddings", kHonoured, kAllButLed, "",
     "Rows of the table of positions, and so the longest text."},
    {"max_encoder_position_embeddings", kHonoured, kLed, "",
     "Rows of the table of positions, and so the longest text."},
    {"type_vocab_size", kHonoured, kBertShaped, "", "Rows of the table of token types."},
    {"type_vocab_size", kHarmless, kReformer, "", kOldKey},
    {"embedding_size", kHarmless, kBertShaped, "", kNotOfFamily},

    // What the layers compute.
    {"hidden_act", kHonoured, kWithHiddenAct, "", "Activation of the feed-forward part."},
    {"activation_function", kHonoured, kLed, "", "Activation of the feed-forward part."},
    {"hidden_activation", kHonoured, kModernBert, "", "Activation of the feed-forward part."},
    {"layer_norm_eps", kHonoured, kWithHiddenAct, "", "Epsilon of the norms."},
    {"norm_eps", kHonoured, kModernBert, "", "Epsilon of the norms."},
    {"layer_norm_eps", kHarmless, "modernbert led", "", kNotOfFamily},
    {"attention_bias", kHonoured, kModernBert, "", "Whether the attention's layers have a bias."},
    {"mlp_bias", kHonoured, kModernBert, "", "Whether the feed-forward part has a bias."},
    {"norm_bias", kHonoured, kModernBert, "", "Whether the norms have a bias."},
    {"use_bias", kHonoured, kBigBird, "", "Whether query, key and value have a bias."},
    {"rescale_embeddings", kHonoured, kBigBird, "",
     "Whether word vectors are multiplied by sqrt(hidden_size)."},
    {"is_decoder", kHonoured, kReformer, "", "Whether a token sees only those before it."},
    {"is_decoder", kRefused, kAllButReformer, "false",
     "It hides the tokens behind each token; only Reformers are served as decoders."},
    {"is_causal", kRefused, kAll, "false",
     "The published library hides the tokens behind each token, or does not, as the batch has "
     "padding or none."},
    {"use_bidirectional_attention", kRefused, kAll, "true",
     "An encoder sees the whole text; no published model of these families reads the key."},
    {"add_cross_attention", kRefused, kAll, "false",
     "Layers that look at a second text are not served."},
    {"is_encoder_decoder", kHarmless, kAll, "", "The encoder computes the same with and without."},
    {"chunk_size_feed_forward", kHarmless, kAll, "",
     "The feed-forward part is computed in pieces, with the same result."},
    {"pruned_heads", kRefused, kAll, "{}",
     "Old versions of the library remove these heads from the weights, newer ones do not."},
    {"per_layer_config", kRefused, kAll, "{}", "Layers that differ in their sizes are not served."},
    {"fusion_config", kRefused, kAll, "{}", "It replaces parts of the model by other code."},

    // Attention.
    {"attention_window", kHonoured, kWindowed, "",
     "Tokens that a token sees, half of them on each side; one number, or one per layer."},
    {"attention_mode", kRefused, kLongformer,
     "\"longformer\" \"sliding_chunks\" \"sliding_chunks_no_overlap\" \"tvm\"",
     "The authors' first code has other kinds of attention under this key; the published library "
     "computes the sliding window."},
    {"attention_dilation", kHonoured, kLongformer, "",
     "Steps between the tokens of a window; only 1 in every layer is served."},
    {"autoregressive", kRefused, kLongformer, "false",
     "It hides the tokens behind each token in the authors' first code."},
    {"ignore_attention_mask", kHarmless, kLongformer, "", kOldKey},
    {"onnx_export", kHarmless, kLongformer, "", kSpeed},
    {"attention_type", kHonoured, kBigBird, "",
     "Whether long texts get sparse attention (block_sparse) or all of it (original_full)."},
    {"block_size", kHonoured, kBigBird, "", "Tokens of a block."},
    {"num_random_blocks", kHonoured, kBigBird, "", "Random blocks that a block sees."},
    {"local_attention", kHonoured, kModernBert, "",
     "Tokens that a token sees in layers with a window, half of them on each side."},
    {"sliding_window", kHonoured, kModernBert, "",
     "Tokens that a token sees on each side; overrides local_attention."},
    {"sliding_window", kHarmless, kAll, "", kNotOfFamily},
    {"layer_types", kHonoured, kModernBert, "",
     "Which layers have a window (sliding_attention) and which see the whole text "
     "(full_attention)."},
    {"global_attn_every_n_layers", kHonoured, kModernBert, "",
     "The same, where layer_types is not given: every n-th layer sees the whole text."},
    {"attn_layers", kHonoured, kReformer, "", "The kinds of the layers: local or lsh."},
    {"local_attn_chunk_length", kHonoured, kReformer, "", "Tokens of a chunk in local layers."},
    {"local_num_chunks_before", kHonoured, kReformer, "",
     "Chunks that a chunk sees before itself."},
    {"local_num_chunks_after", kHonoured, kReformer, "", "Chunks that a chunk sees behind itself."},
    {"lsh_attn_chunk_length", kHonoured, kReformer, "", "Tokens of a chunk in LSH layers."},
    {"lsh_num_chunks_before", kHonoured, kReformer, "", "Chunks that a chunk sees before itself."},
    {"lsh_num_chunks_after", kHonoured, kReformer, "", "Chunks that a chunk sees behind itself."},
    {"num_buckets", kHonoured, kReformer, "", "Buckets of a hash round, or their factors."},
    {"num_hashes", kHonoured, kReformer, "", "Hash rounds."},
    {"hash_seed", kHonoured, kReformer, "",
     "Seed of the hash rotations; null, which is another one in every call of the published "
     "library, is 0 here."},

    // Positions.
    {"position_embedding_type", kRefused, kBertShaped, "\"absolute\"",
     "Relative positions have weights of their own, which are not read."},
    {"position_embedding_type", kHarmless, kAll, "", kNotOfFamily},
    {"axial_pos_embds", kHonoured, kReformer, "", "Whether the table of positions is factorised."},
    {"axial_pos_shape", kHonoured, kReformer, "", "Factors of the number of positions."},
    {"axial_pos_embds_dim", kHonoured, kReformer, "", "Widths of the two tables."},
    {"axial_pos_order", kHonoured, kReformer, "",
     "A key of ours: which of the two tables counts fastest."},
    {"sinusoidal_pos_embds", kRefused, kReformer, "false",
     "The published library has no such positions any more."},
    {"rope_parameters.*.rope_type", kHonoured, kModernBert, "",
     "How the rotary positions are scaled: default, linear, dynamic, yarn, longrope, llama3 or "
     "proportional."},
    {"rope_parameters.*.type", kHonoured, kModernBert, "", "The old name of rope_type."},
    {"rope_parameters.*.rope_theta", kHonoured, kModernBert, "", "Base of the frequencies."},
    {"rope_parameters.*.factor", kHonoured, kModernBert, "", "By how much positions are scaled."},
    {"rope_parameters.*.original_max_position_embeddings", kHonoured, kModernBert, "",
     "Longest text before the scaling (yarn, longrope, llama3)."},
    {"rope_parameters.*.attention_factor", kHonoured, kModernBert, "",
     "Factor of cosines and sines (yarn, longrope)."},
    {"rope_parameters.*.beta_fast", kHonoured, kModernBert, "", "Border of the ramp (yarn)."},
    {"rope_parameters.*.beta_slow", kHonoured, kModernBert, "", "Border of the ramp (yarn)."},
    {"rope_parameters.*.mscale", kHonoured, kModernBert, "",
     "Part of the default attention_factor (yarn)."},
    {"rope_parameters.*.mscale_all_dim", kHonoured, kModernBert, "",
     "Part of the default attention_factor (yarn)."},
    {"rope_parameters.*.truncate", kRefused, kModernBert, "true",
     "The published library does not find it at this place."},
    {"rope_parameters.*.short_factor", kHonoured, kModernBert, "",
     "Divisors of the frequencies for short texts (longrope)."},
    {"rope_parameters.*.long_factor", kHonoured, kModernBert, "",
     "Divisors of the frequencies for long texts (longrope)."},
    {"rope_parameters.*.low_freq_factor", kHonoured, kModernBert, "",
     "Border of the smoothed frequencies (llama3)."},
    {"rope_parameters.*.high_freq_factor", kHonoured, kModernBert, "",
     "Border of the smoothed frequencies (llama3)."},
    {"rope_parameters.*.partial_rotary_factor", kHonoured, kModernBert, "",
     "Share of the frequencies that turn (proportional); 1 for every other rope_type."},
    {"rope_scaling.rope_type", kHonoured, kModernBert, "", kScaling},
    {"rope_scaling.type", kHonoured, kModernBert, "",
     "Must be as rope_type says: under this name the published library does not find it."},
    {"rope_scaling.rope_theta", kHonoured, kModernBert, "", kScaling},
    {"rope_scaling.factor", kHonoured, kModernBert, "", kScaling},
    {"rope_scaling.original_max_position_embeddings", kHonoured, kModernBert, "", kScaling},
    {"rope_scaling.attention_factor", kHonoured, kModernBert, "", kScaling},
    {"rope_scaling.beta_fast", kHonoured, kModernBert, "", kScaling},
    {"rope_scaling.beta_slow", kHonoured, kModernBert, "", kScaling},
    {"rope_scaling.mscale", kHonoured, kModernBert, "", kScaling},
    {"rope_scaling.mscale_all_dim", kHonoured, kModernBert, "", kScaling},
    {"rope_scaling.truncate", kRefused, kModernBert, "true", kScaling},
    {"rope_scaling.short_factor", kHonoured, kModernBert, "", kScaling},
    {"rope_scaling.long_factor", kHonoured, kModernBert, "", kScaling},
    {"rope_scaling.low_freq_factor", kHonoured, kModernBert, "", kScaling},
    {"rope_scaling.high_freq_factor", kHonoured, kModernBert, "", kScaling},
    {"rope_scaling.partial_rotary_factor", kHonoured, kModernBert, "", kScaling},
    {"global_rope_theta", kHonoured, kModernBert, "",
     "Base of the frequencies of layers that see the whole text, where rope_parameters names "
     "none."},
    {"local_rope_theta", kHonoured, kModernBert, "",
     "Base of the frequencies of layers with a window, where rope_parameters names none."},
    {"rope_theta", kHarmless, kModernBert, "",
     "The bases are global_rope_theta and local_rope_theta, or stand in rope_parameters."},
    {"partial_rotary_factor", kRefused, kModernBert, "1",
     "The published model does not compute with it."},
    {"original_max_position_embeddings", kRefused, kModernBert, "",
     "It has to stand in rope_parameters."},

    // Tokens.
    {"pad_token_id", kHonoured, kAll, "",
     "The id of padding, which the positions of some families do not count."},
    {"bos_token_id", kHarmless, kAll, "", kSpecialToken},
    {"eos_token_id", kHarmless, kAll, "", kSpecialToken},
    {"sep_token_id", kHarmless, kAll, "", kSpecialToken},
    {"cls_token_id", kHarmless, kAll, "", kSpecialToken},
    {"mask_token_id", kHarmless, kAll, "", kSpecialToken},
    {"unk_token_id", kHarmless, kAll, "", kSpecialToken},
    {"decoder_start_token_id", kHarmless, kAll, "", kDecoder},
    {"tokenizer_class", kHarmless, kAll, "", "The tokenizer's files say what it is."},
    {"prefix", kHarmless, kAll, "", kGeneration},

    // Our own object.
    {"longspan.window", kHonoured, kBerts, "",
     "Tokens that a token sees, half of them on each side; 0 = the whole text."},
    {"longspan.dense_up_to", kHonoured, kLongformer, "",
     "Texts up to this length see all of themselves."},
    {"longspan.position_period", kHonoured, kLongformer, "",
     "The rows of the table of positions repeat with this period; 0 = they do not."},
    {"longspan.positions_skip_pad", kHonoured, kLongformer, "",
     "Whether a pad id in a text takes the pad row and does not count."},
    {"longspan.default_global_attention", kHonoured, kLongformer, "",
     "Which tokens are global where a request does not say: none or cls."},

    // Weights that are not stored as they are used.
    {"quantization_config", kRefused, kAll, "",
     "Weights that another program quantized are not read; the folder that it began with is."},
    {"compression_config", kRefused, kAll, "",
     "Weights that another program compressed are not read; the folder that it began with is."},
    {"adapters", kRefused, kAll, "{}",
     "Adapters are not applied; merge them into the weights first."},
    {"transformers_weights", kRefused, kAll, "\"model.safetensors\"",
     "The weights are read from model.safetensors or its shards."},
    {"configuration_files", kRefused, kAll, "[]",
     "The published library reads another file in place of this one."},
    {"tie_word_embeddings", kHarmless, kAllButLed, "", kHead},
    {"tie_word_embeddings", kRefused, kLed, "true",
     "Without it the encoder's table of word vectors is another one than the shared one."},
    {"tie_encoder_decoder", kHarmless, kAll, "", kDecoder},

    // Without effect on the encoder's vectors.
    {"attention_probs_dropout_prob", kHarmless, kAll, "", kTraining},
    {"hidden_dropout_prob", kHarmless, kAll, "", kTraining},
    {"attention_dropout", kHarmless, kAll, "", kTraining},
    {"activation_dropout", kHarmless, kAll, "", kTraining},
    {"embedding_dropout", kHarmless, kAll, "", kTraining},
    {"mlp_dropout", kHarmless, kAll, "", kTraining},
    {"dropout", kHarmless, kAll, "", kTraining},
    {"classifier_dropout", kHarmless, kAll, "", kTraining},
    {"classif_dropout", kHarmless, kAll, "", kTraining},
    {"local_attention_probs_dropout_prob", kHarmless, kReformer, "", kTraining},
    {"lsh_attention_probs_dropout_prob", kHarmless, kReformer, "", kTraining},
    {"encoder_layerdrop", kHarmless, kLed, "", kTraining},
    {"gradient_checkpointing", kHarmless, kAll, "", kTraining},
    {"initializer_range", kHarmless, kAll, "", kStart},
    {"initializer_cutoff_factor", kHarmless, kAll, "", kStart},
    {"init_std", kHarmless, kAll, "", kStart},
    {"axial_norm_std", kHarmless, kReformer, "", kStart},
    {"decoder_layers", kHarmless, kLed, "", kDecoder},
    {"decoder_ffn_dim", kHarmless, kLed, "", kDecoder},
    {"decoder_attention_heads", kHarmless, kLed, "", kDecoder},
    {"decoder_layerdrop", kHarmless, kLed, "", kDecoder},
    {"max_decoder_position_embeddings", kHarmless, kLed, "", kDecoder},
    {"cross_attention_hidden_size", kHarmless, kAll, "", kDecoder},
    {"output_attentions", kHarmless, kAll, "", kOutputs},
    {"output_hidden_states", kHarmless, kAll, "", kOutputs},
    {"return_dict", kHarmless, kAll, "", kOutputs},
    {"use_cache", kHarmless, kAll, "", kOutputs},
    {"tie_last_hidden_states", kHarmless, kAll, "", kOutputs},
    {"attn_implementation", kHarmless, kAll, "", kSpeed},
    {"_attn_implementation", kHarmless, kAll, "", kSpeed},
    {"_attn_implementation_autoset", kHarmless, kAll, "", kSpeed},
    {"_attn_implementation_internal", kHarmless, kAll, "", kSpeed},
    {"experts_implementation", kHarmless, kAll, "", kSpeed},
    {"reference_compile", kHarmless, kModernBert, "", kSpeed},
    {"deterministic_flash_attn", kHarmless, kModernBert, "", kSpeed},
    {"repad_logits_with_grad", kHarmless, kModernBert, "", kSpeed},
    {"unpad_inputs", kHarmless, kModernBert, "", kSpeed},
    {"torchscript", kHarmless, kAll, "", kSpeed},
    {"xla_device", kHarmless, kAll, "", kSpeed},
    {"id2label", kHarmless, kAll, "", kHead},
    {"label2id", kHarmless, kAll, "", kHead},
    {"num_labels", kHarmless, kAll, "", kHead},
    {"_num_labels", kHarmless, kAll, "", kHead},
    {"problem_type", kHarmless, kAll, "", kHead},
    {"finetuning_task", kHarmless, kAll, "", kHead},
    {"classifier_pooling", kHarmless, kModernBert, "", kHead},
    {"classifier_bias", kHarmless, kModernBert, "", kHead},
    {"classifier_activation", kHarmless, kModernBert, "", kHead},
    {"decoder_bias", kHarmless, kModernBert, "", kHead},
    {"sparse_prediction", kHarmless, kModernBert, "", kHead},
    {"sparse_pred_ignore_index", kHarmless, kModernBert, "", kHead},
    {"chunk_size_lm_head", kHarmless, kReformer, "", kHead},
    {"pooler_fc_size", kHarmless, kBertShaped, "", kHead},
    {"pooler_num_attention_heads", kHarmless, kBertShaped, "", kHead},
    {"pooler_num_fc_layers", kHarmless, kBertShaped, "", kHead},
    {"pooler_size_per_head", kHarmless, kBertShaped, "", kHead},
    {"pooler_type", kHarmless, kBertShaped, "", kHead},
    {"directionality", kHarmless, kBertShaped, "", kOldKey},
    {"output_past", kHarmless, kAll, "", kOldKey},
    {"use_bfloat16", kHarmless, kAll, "", kOldKey},
    {"tf_legacy_loss", kHarmless, kAll, "", kOldKey},
    {"is_composition", kHarmless, kAll, "", kOldKey},
    {"attn_types", kHarmless, kReformer, "", kOldKey},
    {"num_chunks_before", kHarmless, kReformer, "", kOldKey},
    {"num_chunks_after", kHarmless, kReformer, "", kOldKey},
    {"seed", kHarmless, kReformer, "", kOldKey},
    {"add_bias_logits", kHarmless, kLed, "", kOldKey},
    {"add_final_layer_norm", kHarmless, kLed, "", kOldKey},
    {"normalize_before", kHarmless, kLed, "", kOldKey},
    {"normalize_embedding", kHarmless, kLed, "", kOldKey},
    {"scale_embedding", kHarmless, kLed, "", kOldKey},
    {"static_position_embeddings", kHarmless, kLed, "", kOldKey},
    {"extra_pos_embeddings", kHarmless, kLed, "", kOldKey},
    {"force_bos_token_to_be_generated", kHarmless, kLed, "", kGeneration},
    {"task_specific_params", kHarmless, kAll, "", kGeneration},
    {"max_length", kHarmless, kAll, "", kGeneration},
    {"min_length", kHarmless, kAll, "", kGeneration},
    {"do_sample", kHarmless, kAll, "", kGeneration},
    {"early_stopping", kHarmless, kAll, "", kGeneration},
    {"num_beams", kHarmless, kAll, "", kGeneration},
    {"num_beam_groups", kHarmless, kAll, "", kGeneration},
    {"diversity_penalty", kHarmless, kAll, "", kGeneration},
    {"temperature", kHarmless, kAll, "", kGeneration},
    {"top_k", kHarmless, kAll, "", kGeneration},
    {"top_p", kHarmless, kAll, "", kGeneration},
    {"typical_p", kHarmless, kAll, "", kGeneration},
    {"repetition_penalty", kHarmless, kAll, "", kGeneration},
    {"length_penalty", kHarmless, kAll, "", kGeneration},
    {"no_repeat_ngram_size", kHarmless, kAll, "", kGeneration},
    {"encoder_no_repeat_ngram_size", kHarmless, kAll, "", kGeneration},
    {"bad_words_ids", kHarmless, kAll, "", kGeneration},
    {"num_return_sequences", kHarmless, kAll, "", kGeneration},
    {"output_scores", kHarmless, kAll, "", kGeneration},
    {"return_dict_in_generate", kHarmless, kAll, "", kGeneration},
    {"forced_bos_token_id", kHarmless, kAll, "", kGeneration},
    {"forced_eos_token_id", kHarmless, kAll, "", kGeneration},
    {"remove_invalid_values", kHarmless, kAll, "", kGeneration},
    {"exponential_decay_length_penalty", kHarmless, kAll, "", kGeneration},
    {"suppress_tokens", kHarmless, kAll, "", kGeneration},
    {"begin_suppress_tokens", kHarmless, kAll, "", kGeneration},
    {"epsilon_cutoff", kHarmless, kAll, "", kGeneration},
    {"eta_cutoff", kHarmless, kAll, "", kGeneration},
    {"encoder_repetition_penalty", kHarmless, kAll, "", kGeneration},
    {"num_assistant_tokens", kHarmless, kAll, "", kGeneration},
    {"num_assistant_tokens_schedule", kHarmless, kAll, "", kGeneration},
    {"assistant_confidence_threshold", kHarmless, kAll, "", kGeneration},
    {"assistant_lookbehind", kHarmless, kAll, "", kGeneration},
    {"target_lookbehind", kHarmless, kAll, "", kGeneration},
};

constexpr KeyTable kTable = {"config.json", kKeys};

}  // namespace

const KeyTable& ConfigKeys() { return kTable; }

bool IsKnownModelType(std::string_view model_type) {
  return std::any_of(std::begin(kKeys), std::end(kKeys), [&](const KnownKey& row) {
    return !row.families.empty() && IsForFamily(row, model_type);
  });
}

}  // namespace longspan
