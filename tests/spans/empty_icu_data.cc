// ICU's library of data without any: what spans_without_icu_data starts the server with.
// LONGSPAN_ICU_DATA is the name that ICU gives its data, such as icudt72_dat.
extern "C" __attribute__((visibility("default"))) const unsigned char LONGSPAN_ICU_DATA[4096] = {};
