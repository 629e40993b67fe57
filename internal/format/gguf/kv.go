package gguf

import (
	"fmt"
	"math"
	"strconv"
)

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// KV is one metadata pair. Value is one of uint8, int8, uint16, int16, uint32,
// int32, float32, bool, string, uint64, int64, float64, or a slice of one of
// these; the Go type is the GGUF type.
type KV struct {
	Key   string
	Value any
}

// KVs is an ordered list of pairs with distinct keys.
type KVs []KV

// Get returns the value of a key.
func (kvs KVs) Get(key string) (any, bool) {
	for _, kv := range kvs {
		if kv.Key == key {
			return kv.Value, true
		}
	}
	return nil, false
}

// Set returns kvs with key set to value: in its place when the key is there,
// else at the end. Like append, it may change kvs.
func (kvs KVs) Set(key string, value any) KVs {
	for i := range kvs {
		if kvs[i].Key == key {
			kvs[i].Value = value
			return kvs
		}
	}
	return append(kvs, KV{key, value})
}

// String returns a string value.
func (kvs KVs) String(key string) (string, bool) {
	v, _ := kvs.Get(key)
	s, ok := v.(string)
	return s, ok
}

// Bool returns a bool value.
func (kvs KVs) Bool(key string) (value, ok bool) {
	v, _ := kvs.Get(key)
	value, ok = v.(bool)
	return value, ok
}

// Int returns a value of any integer type that fits int.
func (kvs KVs) Int(key string) (int, bool) {
	v, _ := kvs.Get(key)
	return toInt(v)
}

// Float returns a value of either float type, or of an integer type. A float32
// comes back as the float64 of its shortest decimal form (1e-05, not
// 9.999999747378752e-06): metadata is decimal text that was squeezed through
// float32, and converting it back to float32 gives the stored bits.
func (kvs KVs) Float(key string) (float64, bool) {
	v, _ := kvs.Get(key)
	switch v := v.(type) {
	case float32:
		return shortest(v), true
	case float64:
		return v, true
	}
	n, ok := toInt(v)
	return float64(n), ok
}

func shortest(v float32) float64 {
	d, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	if err != nil {
		return float64(v)
	}
	return d
}

// Strings returns an array of strings. The slice must not be changed.
func (kvs KVs) Strings(key string) ([]string, bool) {
	v, _ := kvs.Get(key)
	s, ok := v.([]string)
	return s, ok
}

// Floats returns an array of float32. The slice must not be changed.
func (kvs KVs) Floats(key string) ([]float32, bool) {
	v, _ := kvs.Get(key)
	s, ok := v.([]float32)
	return s, ok
}

// Ints returns an array of any integer type as ints.
func (kvs KVs) Ints(key string) ([]int, bool) {
	v, _ := kvs.Get(key)
	switch v := v.(type) {
	case []uint8:
		return ints(v)
	case []int8:
		return ints(v)
	case []uint16:
		return ints(v)
	case []int16:
		return ints(v)
	case []uint32:
		return ints(v)
	case []int32:
		return ints(v)
	case []uint64:
		return ints(v)
	case []int64:
		return ints(v)
	}
	return nil, false
}

type integer interface {
	uint8 | int8 | uint16 | int16 | uint32 | int32 | uint64 | int64
}

func ints[T integer](v []T) ([]int, bool) {
	out := make([]int, len(v))
	for i, n := range v {
		out[i] = int(n)
		if T(out[i]) != n || (out[i] < 0) != (n < 0) {
			return nil, false
		}
	}
	return out, true
}

func toInt(v any) (int, bool) {
	switch v := v.(type) {
	case uint8:
		return int(v), true
	case int8:
		return int(v), true
	case uint16:
		return int(v), true
	case int16:
		return int(v), true
	case uint32:
		return int(v), uint64(v) <= math.MaxInt
	case int32:
		return int(v), true
	case uint64:
		return int(v), v <= math.MaxInt
	case int64:
		return int(v), int64(int(v)) == v
	}
	return 0, false
}

// Value type ids of the container.
const (
	vU8 uint32 = iota
	vI8
	vU16
	vI16
	vU32
	vI32
	vF32
	vBool
	vString
	vArray
	vU64
	vI64
	vF64
)

// valueSize is the bytes of a fixed-size value type, 0 for the others.
func valueSize(id uint32) int {
	switch id {
	case vU8, vI8, vBool:
		return 1
	case vU16, vI16:
		return 2
	case vU32, vI32, vF32:
		return 4
	case vU64, vI64, vF64:
		return 8
	}
	return 0
}

func valueTypeName(id uint32) string {
	names := [...]string{"U8", "I8", "U16", "I16", "U32", "I32", "F32", "BOOL", "STRING", "ARRAY", "U64", "I64", "F64"}
	if id < uint32(len(names)) {
		return names[id]
	}
	return fmt.Sprintf("value type %d", id)
}
