package lang

import (
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
)

// ModelArgs are the arguments of a model block.
type ModelArgs struct {
	Source   string `arg:"source" doc:"a folder, a .safetensors or .gguf file, or what compressc lock fetches: hf://owner/name, the https:// address of such a file, oci://registry/name:tag"`
	Revision string `arg:"revision" optional:"true" doc:"commit, tag or branch of a hub source"`
	Token    string `arg:"token" optional:"true" doc:"credential for an hf:// or https:// source; may be a sensitive variable"`
}

// DataArgs are the arguments of a data "text" block.
type DataArgs struct {
	Source         string        `arg:"source" doc:"a text, jsonl or parquet file, or the https:// address of one, which compressc lock fetches"`
	Format         string        `arg:"format" optional:"true" enum:"text|jsonl|parquet" doc:"what the source holds; the file's ending says so by default"`
	Field          string        `arg:"field" default:"text" doc:"the field of jsonl that holds the text"`
	Column         string        `arg:"column" default:"text" doc:"the column of parquet that holds the text"`
	Tokenizer      *passes.Model `arg:"tokenizer" optional:"true" doc:"the model whose tokenizer makes the tokens; the bytes are the tokens by default"`
	SequenceLength int           `arg:"sequence_length" min:"1" max:"1048576" doc:"tokens of a window"`
	Samples        int           `arg:"samples" optional:"true" min:"1" doc:"windows to take; all by default"`
	Offset         int           `arg:"offset" default:"0" min:"0" doc:"windows to leave out at the beginning"`
	Select         string        `arg:"select" default:"first" enum:"first|random" doc:"which windows to take"`
	Token          string        `arg:"token" optional:"true" doc:"credential for an https:// source; may be a sensitive variable"`
}

// AdapterArgs are the arguments of an adapter block.
type AdapterArgs struct {
	Source   string        `arg:"source" doc:"a PEFT folder, with adapter_config.json and adapter_model.safetensors, a LoRA .gguf file, or what compressc lock fetches: hf://owner/name, the https:// address of the file with the weights, oci://registry/name:tag"`
	Revision string        `arg:"revision" optional:"true" doc:"commit, tag or branch of a hub source"`
	Token    string        `arg:"token" optional:"true" doc:"credential for an hf:// or https:// source; may be a sensitive variable"`
	Model    *passes.Model `arg:"model" doc:"the model that it was trained on, or one of the same shape"`
}

// DataKinds are the kinds of data blocks.
var DataKinds = []string{"text"}

func mustSchema(ptr any) *schema.Schema {
	s, err := schema.For(ptr)
	if err != nil {
		panic(err)
	}
	return s
}

var (
	modelSchema = mustSchema(&ModelArgs{})
	dataSchema  = mustSchema(&DataArgs{})
	// adapterSchema is that of adapter blocks.
	adapterSchema = mustSchema(&AdapterArgs{})
)
