package kernel

import "unsafe"

// packNEON has kernels for the widths of neonTable's tiles, which are whole vectors.
func packNEON[T Float](dst, src []T, ld, kc, w, cnt, avail int, trans bool) {
	var z T
	es := int(unsafe.Sizeof(z))
	vectors := w * es / 16
	if cnt != w || kc == 0 || w*es%16 != 0 || vectors < 2 || vectors > 4 {
		packGo(dst, src, ld, kc, w, cnt, avail, trans)
		return
	}
	s, d := unsafe.Pointer(&src[0]), unsafe.Pointer(&dst[0])
	if trans {
		packRowsNEON(kc, s, ld*es, d, vectors)
		return
	}
	lanes := 16 / es
	nb := kc / lanes
	switch {
	case nb == 0:
	case es == 4 && w == 8:
		transpackF32w8NEON(nb, (*float32)(s), ld, (*float32)(d), w)
	case es == 4 && w == 12:
		transpackF32w12NEON(nb, (*float32)(s), ld, (*float32)(d), w)
	case es == 8 && w == 6:
		transpackF64w6NEON(nb, (*float64)(s), ld, (*float64)(d), w)
	case es == 8 && w == 8:
		transpackF64w8NEON(nb, (*float64)(s), ld, (*float64)(d), w)
	default:
		nb = 0
	}
	packColumns(dst, src, ld, nb*lanes, kc, w, cnt)
}
