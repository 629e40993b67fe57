// Package migrate turns the files in which other tools say how a model is
// compressed into pipelines: recipes of llm-compressor, merges of mergekit,
// workflows of Olive, and the quantize_config.json of GPTQModel and AutoGPTQ.
//
// Terms. A step is what the file asks for once: a modifier, a pass, a merge. A
// note says what of the file has no counterpart here, and why; it is also left
// as a comment where it would have stood, with the words of the file.
//
// Invariants. The result is a pipeline in canonical style that passes
// "compressc validate" where its sources are at hand, whatever the file holds. Nothing of the file is dropped
// in silence but what has no say in the result, such as the folder of a cache.
// What the file does not say either (the model, the calibration texts) becomes
// a variable.
//
// The package writes the verbs and arguments of the language from its own
// knowledge of them, and knows neither the language nor the methods.
package migrate
