// What becomes of each key of the sentence-transformers files around a transformer. Made from what
// the loaders of sentence-transformers 6.2 read (base/model.py, base/modules, and the modules of
// sentence_transformer). Thread safe.
#pragma once

#include "core/checkpoint/known_keys.h"

namespace longspan {

const KeyTable& ModulesKeys();              // an entry of modules.json
const KeyTable& PoolingKeys();              // 1_Pooling/config.json
const KeyTable& DenseKeys();                // 2_Dense/config.json
const KeyTable& NormalizeKeys();            // 3_Normalize/config.json
const KeyTable& SentenceBertKeys();         // sentence_bert_config.json and its siblings
const KeyTable& SentenceTransformerKeys();  // config_sentence_transformers.json

}  // namespace longspan
