package vmath

import (
	"math"
	"unsafe"
)

// Loops over blocks of PanelRows rows that lie by column, PanelRows elements of one
// and ld elements from one to the next: what a Panel is filled from, and what is
// done with what it holds. Arrays of float32s have nothing between columns.

// block panics unless x has that many columns, ld apart.
func block[T any](x []T, columns, ld int) *T {
	if ld < PanelRows || len(x) < (columns-1)*ld+PanelRows {
		panic("vmath: columns of a block that are none")
	}
	return &x[0]
}

// CopyBlock copies columns of src to dst.
func CopyBlock(columns int, dst []float64, ldd int, src []float64, lds int) {
	if columns > 0 {
		active().grids.copyBlock(columns, block(dst, columns, ldd), ldd, block(src, columns, lds), lds)
	}
}

func copyBlockGo(columns int, dst *float64, ldd int, src *float64, lds int) {
	d, s := unsafe.Slice(dst, (columns-1)*ldd+PanelRows), unsafe.Slice(src, (columns-1)*lds+PanelRows)
	for k := range columns {
		copy(d[k*ldd:k*ldd+PanelRows], s[k*lds:])
	}
}

// Load fills the first columns of W.
func (p *Panel) Load(columns int, w []float64, ld int) {
	CopyBlock(columns, p.columnsW(), PanelRows, w, ld)
}

// Store copies the first columns of W to w.
func (p *Panel) Store(columns int, w []float64, ld int) {
	CopyBlock(columns, w, ld, p.columnsW(), PanelRows)
}

// StoreD copies the first columns of D to d.
func (p *Panel) StoreD(columns int, d []float64, ld int) {
	CopyBlock(columns, d, ld, unsafe.Slice(&p.D[0][0], PanelColumns*PanelRows), PanelRows)
}

func (p *Panel) columnsW() []float64 { return unsafe.Slice(&p.W[0][0], PanelColumns*PanelRows) }

// ValueBlock sets dst to scale·base, rounded to float32, with a scale for each row.
func ValueBlock(columns int, dst []float64, ldd int, base, scale []float32) {
	if columns > 0 {
		active().grids.valueBlock(columns, block(dst, columns, ldd), ldd, block(base, columns, PanelRows), block(scale, 1, PanelRows))
	}
}

func valueBlockGo(columns int, dst *float64, ldd int, base, scale *float32) {
	d, b, s := unsafe.Slice(dst, (columns-1)*ldd+PanelRows), unsafe.Slice(base, columns*PanelRows), unsafe.Slice(scale, PanelRows)
	for k := range columns {
		to, from := d[k*ldd:k*ldd+PanelRows], b[k*PanelRows:(k+1)*PanelRows]
		for i, by := range s {
			to[i] = float64(float32(from[i] * by))
		}
	}
}

// ChangeBlock sets dst to what ValueBlock does, less from.
func ChangeBlock(columns int, dst []float64, ldd int, base, scale []float32, from []float64, ldf int) {
	if columns > 0 {
		active().grids.changeBlock(columns, block(dst, columns, ldd), ldd, block(base, columns, PanelRows), block(scale, 1, PanelRows), block(from, columns, ldf), ldf)
	}
}

func changeBlockGo(columns int, dst *float64, ldd int, base, scale *float32, from *float64, ldf int) {
	d, b, s := unsafe.Slice(dst, (columns-1)*ldd+PanelRows), unsafe.Slice(base, columns*PanelRows), unsafe.Slice(scale, PanelRows)
	f := unsafe.Slice(from, (columns-1)*ldf+PanelRows)
	for k := range columns {
		for i, by := range s {
			d[k*ldd+i] = float64(float32(b[k*PanelRows+i]*by)) - f[k*ldf+i]
		}
	}
}

// DotBlock adds, for each row, the products of x and y to sum in the order of the
// columns.
func DotBlock(columns int, sum *[PanelRows]float64, x []float64, ldx int, y []float64, ldy int) {
	if columns > 0 {
		active().grids.dotBlock(columns, &sum[0], block(x, columns, ldx), ldx, block(y, columns, ldy), ldy)
	}
}

func dotBlockGo(columns int, sum, x *float64, ldx int, y *float64, ldy int) {
	s, xs, ys := unsafe.Slice(sum, PanelRows), unsafe.Slice(x, (columns-1)*ldx+PanelRows), unsafe.Slice(y, (columns-1)*ldy+PanelRows)
	for k := range columns {
		for i, v := range xs[k*ldx : k*ldx+PanelRows] {
			s[i] += float64(v * ys[k*ldy+i])
		}
	}
}

// EnergyBlock adds, for each row, change·(2g + product) to sum in the order of the
// columns: what a change does to a quadratic loss of which g is half the gradient
// and product that of the change with its matrix.
func EnergyBlock(columns int, sum *[PanelRows]float64, change []float64, ldc int, g []float64, ldg int, product []float64, ldp int) {
	if columns > 0 {
		active().grids.energyBlock(columns, &sum[0], block(change, columns, ldc), ldc, block(g, columns, ldg), ldg, block(product, columns, ldp), ldp)
	}
}

func energyBlockGo(columns int, sum, change *float64, ldc int, g *float64, ldg int, product *float64, ldp int) {
	s, cs := unsafe.Slice(sum, PanelRows), unsafe.Slice(change, (columns-1)*ldc+PanelRows)
	gs, ps := unsafe.Slice(g, (columns-1)*ldg+PanelRows), unsafe.Slice(product, (columns-1)*ldp+PanelRows)
	for k := range columns {
		for i, v := range cs[k*ldc : k*ldc+PanelRows] {
			s[i] += float64(v * (float64(2*gs[k*ldg+i]) + ps[k*ldp+i]))
		}
	}
}

// AcceptBlock clears change and product, the latter not where it lies, in the rows
// that are 0, and adds them to d and g; other rows must have all bits set.
func AcceptBlock(columns int, rows *[PanelRows]uint64, change []float64, ldc int, product []float64, ldp int, d []float64, ldd int, g []float64, ldg int) {
	if columns > 0 {
		active().grids.acceptBlock(columns, &rows[0], block(change, columns, ldc), ldc, block(product, columns, ldp), ldp, block(d, columns, ldd), ldd, block(g, columns, ldg), ldg)
	}
}

func acceptBlockGo(columns int, rows *uint64, change *float64, ldc int, product *float64, ldp int, d *float64, ldd int, g *float64, ldg int) {
	r, cs := unsafe.Slice(rows, PanelRows), unsafe.Slice(change, (columns-1)*ldc+PanelRows)
	ps := unsafe.Slice(product, (columns-1)*ldp+PanelRows)
	ds, gs := unsafe.Slice(d, (columns-1)*ldd+PanelRows), unsafe.Slice(g, (columns-1)*ldg+PanelRows)
	for k := range columns {
		for i, on := range r {
			c := masked(cs[k*ldc+i], on)
			cs[k*ldc+i] = c
			ds[k*ldd+i] += c
			gs[k*ldg+i] += masked(ps[k*ldp+i], on)
		}
	}
}

// masked is x with the bits that are not in on cleared.
func masked(x float64, on uint64) float64 { return math.Float64frombits(math.Float64bits(x) & on) }

// Settle adds what Descend made of the first columns to d, and replaces the base
// codes, if there are any, where something moved: Base is not read, so base may be
// what it was copied from. It returns the rows that moved, as bits.
func (p *Panel) Settle(columns int, d []float64, ld int, base []float32) (moved uint64) {
	switch {
	case columns == 0:
		return 0
	case columns > PanelColumns:
		panic("vmath: columns of a panel that are none")
	case base == nil:
		return active().grids.settle(p, columns, block(d, columns, ld), ld)
	}
	return active().grids.settleGrid(p, columns, block(d, columns, ld), ld, block(base, columns, PanelRows))
}

func settleGo(p *Panel, width int, d *float64, ldd int) (moved uint64) {
	ds := unsafe.Slice(d, (width-1)*ldd+PanelRows)
	for k := range width {
		for i, t := range p.D[k] {
			ds[k*ldd+i] += t
			moved |= uint64(bit(t != 0)) << i
		}
	}
	return moved
}

func settleGridGo(p *Panel, width int, d *float64, ldd int, base *float32) (moved uint64) {
	b := unsafe.Slice(base, width*PanelRows)
	for k := range width {
		for i, t := range p.D[k] {
			if t != 0 {
				b[k*PanelRows+i] = p.Next[k][i]
			}
		}
	}
	return settleGo(p, width, d, ldd)
}

// ChooseTwoOf4 clears the bits in On of those two of each four columns from from to
// to of which (W·inv)² is smaller, of equal ones of those that come first.
func (p *Panel) ChooseTwoOf4(from, to int, inv []float64) {
	if from < 0 || to > PanelColumns || (to-from)%4 != 0 || len(inv) < to {
		panic("vmath: columns of a panel that are none")
	}
	if from < to {
		active().grids.chooseTwoOf4(p, from, to, &inv[0])
	}
}

func chooseTwoOf4Go(p *Panel, from, to int, inv *float64) {
	invs := unsafe.Slice(inv, to)
	for k := from; k < to; k += 4 {
		for i := range PanelRows {
			var s [4]float64
			for j := range s {
				t := float64(p.W[k+j][i] * invs[k+j])
				s[j] = t * t
			}
			kept := largerTwo(s[0], s[1], s[2], s[3])
			for j := range s {
				p.On[k+j] &^= uint64(kept>>j&1^1) << i
			}
		}
	}
}

// DropBlock clears the bits, a row each from the lowest on, in on[k] of those of column
// k of which (w·inv[k])² is at most limit.
func DropBlock(on []uint64, w []float64, ldw int, inv []float64, limit float64) {
	same(len(inv), len(on))
	if len(on) > 0 {
		active().grids.dropBlock(len(on), &on[0], block(w, len(on), ldw), ldw, &inv[0], limit)
	}
}

func dropBlockGo(columns int, on *uint64, w *float64, ldw int, inv *float64, limit float64) {
	o, invs, ws := unsafe.Slice(on, columns), unsafe.Slice(inv, columns), unsafe.Slice(w, (columns-1)*ldw+PanelRows)
	for k, by := range invs {
		for i, v := range ws[k*ldw : k*ldw+PanelRows] {
			t := float64(v * by)
			o[k] &^= uint64(bit(float64(t*t) <= limit)) << i
		}
	}
}
