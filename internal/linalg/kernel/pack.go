package kernel

import "unsafe"

// PanelSlack is the number of elements that a panel buffer must have beyond the
// panels themselves: a vector store may run past the last panel.
const PanelSlack = 64

// Pack writes one panel: dst[k·w+i] = element (i, k) of the source for i < cnt
// and k < kc, and 0 for cnt <= i < w. Without trans element (i, k) is at
// src[i·ld+k], with trans at src[k·ld+i]. avail >= cnt is the number of rows
// (columns, with trans) that exist from src on; memory past them is not
// touched. dst has kc·w elements and, without trans, PanelSlack more that may be
// overwritten.
func Pack[T Float](dst, src []T, ld, kc, w, cnt, avail int, trans bool) {
	var z T
	if unsafe.Sizeof(z) == 4 {
		active.packF32(as[float32](dst), as[float32](src), ld, kc, w, cnt, avail, trans)
	} else {
		active.packF64(as[float64](dst), as[float64](src), ld, kc, w, cnt, avail, trans)
	}
}

// as reinterprets s, whose elements have the size of T.
func as[T, S Float](s []S) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}

func packGo[T Float](dst, src []T, ld, kc, w, cnt, _ int, trans bool) {
	if trans {
		for k := range kc {
			d := dst[k*w : k*w+w]
			n := copy(d, src[k*ld:k*ld+cnt])
			clear(d[n:])
		}
		return
	}
	packColumns(dst, src, ld, 0, kc, w, cnt)
}

// packColumns packs columns k0 to kc of an untransposed panel, four rows at a
// time so that each write of a cache line serves several of them.
func packColumns[T Float](dst, src []T, ld, k0, kc, w, cnt int) {
	i := 0
	for ; i+4 <= cnt; i += 4 {
		r0 := src[i*ld+k0 : i*ld+kc]
		r1 := src[(i+1)*ld+k0:][:len(r0)]
		r2 := src[(i+2)*ld+k0:][:len(r0)]
		r3 := src[(i+3)*ld+k0:][:len(r0)]
		o := k0*w + i
		for k, v := range r0 {
			d := dst[o : o+4]
			d[0], d[1], d[2], d[3] = v, r1[k], r2[k], r3[k]
			o += w
		}
	}
	for ; i < cnt; i++ {
		o := k0*w + i
		for _, v := range src[i*ld+k0 : i*ld+kc] {
			dst[o] = v
			o += w
		}
	}
	if cnt < w {
		for k := k0; k < kc; k++ {
			clear(dst[k*w+cnt : k*w+w])
		}
	}
}
