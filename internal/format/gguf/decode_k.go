package gguf

// The k-quants: blocks of 256 elements in sub-blocks of 16 or 32 whose scales
// are themselves small integers times the block's. All products but Q6_K's and
// Q3_K's last are exact in float32, so only one rounding is left to agree on.

// unpackScales reads the 12 bytes of eight 6-bit scales and eight 6-bit mins
// of Q4_K and Q5_K: the low four sub-blocks in the low 6 bits of bytes 0..3
// and 4..7, the high four as nibbles of bytes 8..11 with their top two bits in
// the top bits of the others.
func unpackScales(b *[12]byte) (scales, mins [8]uint8) {
	for j := range 4 {
		scales[j] = b[j] & 63
		mins[j] = b[j+4] & 63
		scales[j+4] = b[j+8]&15 | b[j]>>6<<4
		mins[j+4] = b[j+8]>>4 | b[j+4]>>6<<4
	}
	return scales, mins
}

// packScales is the inverse of unpackScales; codes are below 64.
func packScales(b *[12]byte, scales, mins *[8]uint8) {
	for j := range 4 {
		b[j] = scales[j]&63 | scales[j+4]>>4<<6
		b[j+4] = mins[j]&63 | mins[j+4]>>4<<6
		b[j+8] = scales[j+4]&15 | mins[j+4]<<4
	}
}

func decodeQ2K(dst []float32, src []byte) {
	for len(dst) > 0 {
		out, b := (*[256]float32)(dst), (*[84]byte)(src)
		d, dmin := f16at(b[80:]), f16at(b[82:])
		for sub := range 16 {
			sc := b[sub]
			dl, ml := d*small[sc&15], float32(dmin*small[sc>>4])
			var lut [4]float32
			for q := range lut {
				lut[q] = float32(dl*small[q]) - ml
			}
			// Eight sub-blocks share 32 bytes: two halves times four bit pairs.
			qs := b[16+32*(sub/8)+16*(sub%2):][:16]
			shift := uint(sub/2%4) * 2
			o := out[16*sub:][:16]
			for l, c := range qs {
				o[l] = lut[c>>shift&3]
			}
		}
		dst, src = dst[256:], src[84:]
	}
}

func decodeQ3K(dst []float32, src []byte) {
	for len(dst) > 0 {
		out, b := (*[256]float32)(dst), (*[110]byte)(src)
		d := f16at(b[108:])
		packed := b[96:108]
		for sub := range 16 {
			// 6-bit scales: low nibbles in bytes 0..7, top pairs in 8..11.
			sc := packed[sub%8] >> (4 * uint(sub/8)) & 15
			sc |= packed[8+sub%4] >> (2 * uint(sub/4)) & 3 << 4
			dl := d * float32(int(sc)-32)
			var lut [8]float32 // index: low two bits, then the mask bit, which adds 4
			for q := range lut {
				lut[q] = dl * (small[q] - 4)
			}
			qs := b[32+32*(sub/8)+16*(sub%2):][:16]
			hm := b[16*(sub%2):][:16]
			shift, bit := uint(sub/2%4)*2, uint(sub/2)
			o := out[16*sub:][:16]
			for l, c := range qs {
				o[l] = lut[c>>shift&3|hm[l]>>bit&1<<2]
			}
		}
		dst, src = dst[256:], src[110:]
	}
}

func decodeQ4K(dst []float32, src []byte) {
	for len(dst) > 0 {
		out, b := (*[256]float32)(dst), (*[144]byte)(src)
		d, dmin := f16at(b[:]), f16at(b[2:])
		sc, mn := unpackScales((*[12]byte)(b[4:]))
		for k := range 4 {
			d1, m1 := d*small[sc[2*k]&63], -float32(dmin*small[mn[2*k]&63])
			d2, m2 := d*small[sc[2*k+1]&63], -float32(dmin*small[mn[2*k+1]&63])
			for j := 0; j < 32; j += 16 {
				affineNibbles((*[16]float32)(out[64*k+j:]), (*[16]float32)(out[64*k+32+j:]), (*[16]byte)(b[16+32*k+j:]), d1, m1, d2, m2)
			}
		}
		dst, src = dst[256:], src[144:]
	}
}

func decodeQ5K(dst []float32, src []byte) {
	for len(dst) > 0 {
		out, b := (*[256]float32)(dst), (*[176]byte)(src)
		d, dmin := f16at(b[:]), f16at(b[2:])
		sc, mn := unpackScales((*[12]byte)(b[4:]))
		qh := (*[32]byte)(b[16:])
		for k := range 4 {
			d1, m1 := d*small[sc[2*k]&63], float32(dmin*small[mn[2*k]&63])
			d2, m2 := d*small[sc[2*k+1]&63], float32(dmin*small[mn[2*k+1]&63])
			o := (*[64]float32)(out[64*k:])
			for j, c := range b[48+32*k:][:32] {
				j &= 31
				h := qh[j] >> uint(2*k)
				o[j] = float32(d1*small[c&15|h&1<<4]) - m1
				o[j+32] = float32(d2*small[c>>4|h>>1&1<<4]) - m2
			}
		}
		dst, src = dst[256:], src[176:]
	}
}

func decodeQ6K(dst []float32, src []byte) {
	for len(dst) > 0 {
		out, b := (*[256]float32)(dst), (*[210]byte)(src)
		d := f16at(b[208:])
		for part := range 2 {
			ql, qh := (*[64]byte)(b[64*part:]), (*[32]byte)(b[128+32*part:])
			var s [8]float32
			for i := range s {
				s[i] = d * float32(int8(b[192+8*part+i]))
			}
			o := (*[128]float32)(out[128*part:])
			for l, h := range qh {
				i := l / 16
				o[l] = s[i] * (small[ql[l]&15|h&3<<4] - 32)
				o[l+32] = s[i+2] * (small[ql[l+32]&15|h>>2&3<<4] - 32)
				o[l+64] = s[i+4] * (small[ql[l]>>4|h>>4&3<<4] - 32)
				o[l+96] = s[i+6] * (small[ql[l+32]>>4|h>>6<<4] - 32)
			}
		}
		dst, src = dst[256:], src[210:]
	}
}
