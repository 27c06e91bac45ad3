// What becomes of each key of the sentence-transformers files around a transformer. Made from what
// the loaders of sentence-transformers 6.2 read (base/model.py, base/modules, and the modules of
// sentence_transformer). Thread safe.
#pragma once

#include "core/checkpoint/known_keys.h"

namespace longspan {

// The families of rows: what "model_type" says in config_sentence_transformers.json.
inline constexpr std::string_view kSentenceFamily = "SentenceTransformer";
inline constexpr std::string_view kMultiVectorFamily = "MultiVectorEncoder";

const KeyTable& ModulesKeys();              // an entry of modules.json
const KeyTable& PoolingKeys();              // 1_Pooling/config.json
const KeyTable& DenseKeys();                // 2_Dense/config.json
const KeyTable& NormalizeKeys();            // 3_Normalize/config.json
const KeyTable& SentenceBertKeys();         // sentence_bert_config.json and its siblings
const KeyTable& SentenceTransformerKeys();  // config_sentence_transformers.json
const KeyTable& MultiVectorMaskKeys();      // 2_MultiVectorMask/config.json
const KeyTable& ArtifactMetadataKeys();     // artifact.metadata of Stanford's ColBERT

}  // namespace longspan
