package kernel

import "unsafe"

func packAVX512[T Float](dst, src []T, ld, kc, w, cnt, avail int, trans bool) {
	var z T
	es := int(unsafe.Sizeof(z))
	lanes := 64 / es
	if cnt != w || kc == 0 {
		packGo(dst, src, ld, kc, w, cnt, avail, trans)
		return
	}
	if trans {
		nv := w / lanes
		packRowsAVX512(kc, unsafe.Pointer(&src[0]), ld*es, unsafe.Pointer(&dst[0]), nv, 1<<(((w-nv*lanes)*es)/4)-1, w*es)
		return
	}
	k0 := 0
	if nb := kc / lanes; nb > 0 {
		done := 0
		for done < w {
			h := min(lanes, w-done)
			if done+lanes > avail {
				// The kernel reads a whole vector of rows: step back over rows
				// already packed, so that all of them exist.
				if w < lanes {
					break
				}
				done, h = w-lanes, lanes
			}
			transpackAVX512(nb, src[done*ld:], ld, dst[done:], w, 1<<h-1, es)
			done += h
		}
		if done >= w {
			k0 = nb * lanes
		}
	}
	packColumns(dst, src, ld, k0, kc, w, cnt)
}

func transpackAVX512[T Float](nb int, src []T, ld int, dst []T, stride, mask, es int) {
	s, d := unsafe.Pointer(&src[0]), unsafe.Pointer(&dst[0])
	if es == 4 {
		transpackF32AVX512(nb, (*float32)(s), ld, (*float32)(d), stride, mask)
	} else {
		transpackF64AVX512(nb, (*float64)(s), ld, (*float64)(d), stride, mask)
	}
}

func packAVX2[T Float](dst, src []T, ld, kc, w, cnt, avail int, trans bool) {
	var z T
	es := int(unsafe.Sizeof(z))
	lanes := 32 / es
	if cnt != w || kc == 0 {
		packGo(dst, src, ld, kc, w, cnt, avail, trans)
		return
	}
	if trans {
		packRowsAVX2(kc, unsafe.Pointer(&src[0]), ld*es, unsafe.Pointer(&dst[0]), w*es)
		return
	}
	nb := kc / lanes
	// The kernel reads whole vectors of rows; all of them must exist.
	if nb == 0 || (w+lanes-1)/lanes*lanes > avail {
		packColumns(dst, src, ld, 0, kc, w, cnt)
		return
	}
	for done := 0; done < w; done += lanes {
		s, d := unsafe.Pointer(&src[done*ld]), unsafe.Pointer(&dst[done])
		if es == 4 {
			transpackF32AVX2(nb, (*float32)(s), ld, (*float32)(d), w, min(lanes, w-done))
		} else {
			transpackF64AVX2(nb, (*float64)(s), ld, (*float64)(d), w, min(lanes, w-done))
		}
	}
	packColumns(dst, src, ld, nb*lanes, kc, w, cnt)
}
