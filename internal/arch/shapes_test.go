package arch

import (
	"reflect"
	"strings"
	"testing"
)

// shaped is base with three blocks of different shapes.
func shaped(edit map[string]any) []byte {
	m := map[string]any{
		"num_attention_heads_per_layer": []int{8, 4, 8}, "num_key_value_heads_per_layer": []int{2, 1, 2},
		"intermediate_size_per_layer": []int{160, 32, 96}, "attention_out_bias": true, "mlp_out_bias": true,
	}
	for k, v := range edit {
		m[k] = v
	}
	return base(m)
}

func TestShapesOfBlocks(t *testing.T) {
	c, err := ParseConfig(shaped(nil))
	if err != nil {
		t.Fatal(err)
	}
	if c.Uniform() || c.At(1).Heads != 4 || c.At(1).KVHeads != 1 || c.At(1).Intermediate != 32 || c.At(2).Intermediate != 96 {
		t.Fatalf("blocks are %+v, %+v, %+v", c.Shape(0), c.Shape(1), c.Shape(2))
	}
	if !c.At(1).Uniform() {
		t.Error("the configuration of one block has shapes of its own")
	}
	var biases []string
	var n int64
	for i := range c.Layers {
		for _, s := range c.At(i).BlockTensors() {
			n += s.Elements()
			if i == 1 && strings.HasSuffix(s.Name, ".bias") {
				biases = append(biases, s.Name)
			}
		}
	}
	if want := []string{"self_attn.o_proj.bias", "mlp.down_proj.bias"}; !reflect.DeepEqual(biases, want) {
		t.Errorf("biases are %v; expected %v", biases, want)
	}
	for _, s := range c.OuterTensors() {
		n += s.Elements()
	}
	if got := c.Parameters(); got != n {
		t.Errorf("Parameters is %d; the tensors have %d", got, n)
	}

	raw, err := c.JSON()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	again.Raw, c.Raw = nil, nil
	if !reflect.DeepEqual(again, c) {
		t.Errorf("reads back as %+v; expected %+v", again, c)
	}
}

func TestWithShapesOfOneShapeIsUniform(t *testing.T) {
	c, err := ParseConfig(shaped(nil))
	if err != nil {
		t.Fatal(err)
	}
	s := BlockShape{Heads: 4, KVHeads: 1, Intermediate: 48}
	u := c.WithShapes([]BlockShape{s, s, s})
	if !u.Uniform() || u.At(2) != u || u.Shape(2) != s {
		t.Fatalf("shapes are %+v", u.Shape(2))
	}
	raw, err := u.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "per_layer") {
		t.Errorf("config.json still lists shapes:\n%s", raw)
	}
	if !strings.Contains(string(raw), `"mlp_out_bias": true`) {
		t.Errorf("config.json does not say that down has a bias:\n%s", raw)
	}
}

func TestShapesThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		edit map[string]any
		want string
	}{
		"too few":      {map[string]any{"intermediate_size_per_layer": []int{1, 2}}, "has 2 entries; expected num_hidden_layers = 3"},
		"too large":    {map[string]any{"intermediate_size_per_layer": []int{160, 161, 160}}, "intermediate_size_per_layer[1] is 161; expected 1 to 160"},
		"none":         {map[string]any{"num_attention_heads_per_layer": []int{8, 0, 8}}, "[1] is 0; expected 1 to 8"},
		"no divisor":   {map[string]any{"num_key_value_heads_per_layer": []int{2, 3, 2}}, "block 1 has 4 heads and 3 of keys and values"},
		"not a number": {map[string]any{"intermediate_size_per_layer": []string{"a"}}, "cannot unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseConfig(shaped(c.edit))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v; expected one that says %q", err, c.want)
			}
		})
	}
}
