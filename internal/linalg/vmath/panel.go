package vmath

import "unsafe"

// PanelRows and PanelColumns are the shape of a Panel.
const (
	PanelRows    = 16
	PanelColumns = 32
)

// Panel is a few neighbouring columns of PanelRows rows that are worked off one
// column after the other, all rows at once: what is decided of a row in one column
// changes it in those behind. Its arrays are by column. Rows and columns that are
// not there may hold anything finite, and their bits in On should not be set.
type Panel struct {
	// W are the weights that Freeze works on, or what Descend has half the gradient of
	// the loss in.
	W [PanelColumns][PanelRows]float64
	// D is what the columns behind are changed by: see Freeze and Descend.
	D [PanelColumns][PanelRows]float64
	// Next and Base are codes less their zero points: those chosen, and those that
	// Descend begins with.
	Next, Base [PanelColumns][PanelRows]float32
	// Scale and Zero are the grids that codes are chosen on, whose codes go up to Top;
	// Descend takes those of the first column for all.
	Scale, Zero [PanelColumns][PanelRows]float32
	// On are the rows, as bits from the lowest, that keep their weight in a column, or
	// may be moved in it.
	On [PanelColumns]uint64
	// Loss is what Freeze adds to, or Descend subtracts from.
	Loss [PanelRows]float64
	Top  float32
}

// panelMagic added to a float32 of magnitude below 2^22 leaves the number rounded to
// nearest, ties to even.
const panelMagic = 3 << 22

// Freeze goes over columns [from, to) of W. A weight w that is off becomes 0 and
// else, with a grid, the value q on it that is nearest to float32(w), Next; then D is
// d = (w − q)·inv[column], d² is added to Loss, and d·u is subtracted from the columns
// behind, up to width. u [width, width] lies ld apart, of which the part above the
// diagonal is read.
func (p *Panel) Freeze(from, to, width int, u []float64, ld int, inv []float64, grid bool) {
	if from >= to {
		return
	}
	if from < 0 || to > width || width > PanelColumns || ld < width || len(u) < (to-1)*ld+width || len(inv) < to {
		panic("vmath: columns of a panel that are none")
	}
	t := active()
	if grid {
		t.freezeGrid(p, from, to, width, &u[0], ld, &inv[0])
	} else {
		t.freeze(p, from, to, width, &u[0], ld, &inv[0])
	}
}

// Descend goes over the first width columns. What is on moves by t to where the loss
// is smallest, −W/h with h on the diagonal of the matrix h, or, with a grid, from the
// value of its code Base to that on the grid, Next, which is nearest to there as a
// float32; but only if that lowers the loss, by t·(2W + h·t), which is subtracted from
// Loss. D is t, 0 of what does not move, and t·h is added to the columns behind. h
// [width, width] lies ld apart, of which the diagonal and what is above it are read.
func (p *Panel) Descend(width int, h []float64, ld int, grid bool) {
	if width == 0 {
		return
	}
	if width > PanelColumns || ld < width || len(h) < (width-1)*ld+width {
		panic("vmath: columns of a panel that are none")
	}
	t := active()
	if grid {
		t.descendGrid(p, width, &h[0], ld)
	} else {
		t.descend(p, width, &h[0], ld)
	}
}

// nearest returns the code nearest to v on the grid of row i of column k, less its
// zero point.
func (p *Panel) nearest(k, i int, v float32) float32 {
	y := v / p.Scale[k][i]
	if lo := 0 - p.Zero[k][i]; y < lo {
		y = lo
	}
	if hi := p.Top - p.Zero[k][i]; y > hi {
		y = hi
	}
	return y + panelMagic - panelMagic
}

func freezeGo(p *Panel, from, to, width int, u *float64, ld int, inv *float64) {
	p.freezePlain(from, to, width, u, ld, inv, false)
}

func freezeGridGo(p *Panel, from, to, width int, u *float64, ld int, inv *float64) {
	p.freezePlain(from, to, width, u, ld, inv, true)
}

func (p *Panel) freezePlain(from, to, width int, u *float64, ld int, inv *float64, grid bool) {
	us, invs := unsafe.Slice(u, (to-1)*ld+width), unsafe.Slice(inv, to)
	for k := from; k < to; k++ {
		w, d := &p.W[k], &p.D[k]
		for i, v := range w {
			q := v
			if p.On[k]>>i&1 == 0 {
				q = 0
			}
			if grid {
				n := p.nearest(k, i, float32(q))
				p.Next[k][i] = n
				q = float64(float32(n * p.Scale[k][i]))
			}
			x := float64((v - q) * invs[k])
			p.Loss[i] += float64(x * x)
			d[i], w[i] = x, q
		}
		for j := k + 1; j < width; j++ {
			x := us[k*ld+j]
			for i, v := range d {
				p.W[j][i] -= float64(v * x)
			}
		}
	}
}

func descendGo(p *Panel, width int, h *float64, ld int) { p.descendPlain(width, h, ld, false) }

func descendGridGo(p *Panel, width int, h *float64, ld int) { p.descendPlain(width, h, ld, true) }

func (p *Panel) descendPlain(width int, h *float64, ld int, grid bool) {
	hs := unsafe.Slice(h, (width-1)*ld+width)
	for k := range width {
		d, curve := &p.D[k], hs[k*ld+k]
		for i, g := range p.W[k] {
			t := -(g / curve)
			if grid {
				v := float64(float32(p.Base[k][i] * p.Scale[0][i]))
				n := p.nearest(0, i, float32(v+t))
				p.Next[k][i] = n
				t = float64(float32(n*p.Scale[0][i])) - v
			}
			change := float64(t * (float64(2*g) + float64(curve*t)))
			if !(change < 0) || p.On[k]>>i&1 == 0 {
				t, change = 0, 0
			}
			p.Loss[i] -= change
			d[i] = t
		}
		for j := k + 1; j < width; j++ {
			x := hs[k*ld+j]
			for i, t := range d {
				p.W[j][i] += float64(t * x)
			}
		}
	}
}
