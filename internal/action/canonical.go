package action

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// canonicalJSON rewrites a JSON text so that texts with the same meaning are
// the same bytes: no spaces, keys sorted, strings with the escapes that are
// needed, each number in one spelling.
func canonicalJSON(text []byte) ([]byte, error) {
	if len(text) == 0 {
		return []byte("null"), nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON value")
	}
	var b bytes.Buffer
	writeCanonical(&b, v)
	return b.Bytes(), nil
}

func writeCanonical(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case json.Number:
		b.WriteString(canonicalNumber(string(v)))
	case string:
		writeString(b, v)
	case []any:
		b.WriteByte('[')
		for i, x := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeCanonical(b, x)
		}
		b.WriteByte(']')
	case map[string]any:
		b.WriteByte('{')
		for i, k := range sortedKeys(v) {
			if i > 0 {
				b.WriteByte(',')
			}
			writeString(b, k)
			b.WriteByte(':')
			writeCanonical(b, v[k])
		}
		b.WriteByte('}')
	}
}

// writeString encodes s as encoding/json does inside a RawMessage, so that a
// record that holds the text is not escaped a second time.
func writeString(b *bytes.Buffer, s string) {
	q, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("action: a string does not encode: %v", err))
	}
	b.Write(q)
}

// maxPlainDigits bounds numbers written without an exponent; it holds every
// 64-bit integer.
const maxPlainDigits = 20

// canonicalNumber spells a JSON number by its exact decimal value: 1000, 1e3
// and 1000.0 are one, and no digit is lost, so that seeds of 64 bits stay
// apart. It does not go through a float.
func canonicalNumber(s string) string {
	mantissa, exponent, hasExp := strings.Cut(strings.ToLower(s), "e")
	exp := 0
	if hasExp {
		n, err := strconv.Atoi(exponent)
		if err != nil || n > 1e9 || n < -1e9 {
			return s // no float has such an exponent
		}
		exp = n
	}
	sign := ""
	if strings.HasPrefix(mantissa, "-") {
		sign, mantissa = "-", mantissa[1:]
	}
	whole, frac, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+frac, "0")
	exp -= len(frac)
	trimmed := strings.TrimRight(digits, "0")
	exp += len(digits) - len(trimmed)
	digits = trimmed
	if digits == "" {
		return sign + "0" // -0 stays apart: dividing by it is something else
	}
	point := len(digits) + exp // position of the decimal point
	switch {
	case exp >= 0 && point <= maxPlainDigits:
		return sign + digits + strings.Repeat("0", exp)
	case point > 0 && point <= maxPlainDigits && exp < 0:
		return sign + digits[:point] + "." + digits[point:]
	case point <= 0 && point > -6:
		return sign + "0." + strings.Repeat("0", -point) + digits
	}
	m := digits[:1]
	if len(digits) > 1 {
		m += "." + digits[1:]
	}
	return sign + m + "e" + strconv.Itoa(point-1)
}
