package vq

import (
	"fmt"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/rng"
)

// tolerance ends the iterations: the least relative gain that is worth another.
const tolerance = 1e-5

// pointsPerCentroid bounds the vectors that a codebook is fitted to: more move
// the centroids by less than rounding them to float16 does.
const pointsPerCentroid = 256

// assignTask is how many vectors a task assigns. Sums over tasks are in order.
const assignTask = 1024

// points are weighted vectors [len(weight), vector].
type points struct {
	vector int
	x      []float32
	weight []float64
}

func (p points) len() int { return len(p.weight) }

func (p points) at(i int) []float32 { return p.x[i*p.vector : (i+1)*p.vector] }

// sample returns n of the points, one of each of n runs of equal length, or all
// where there are no more.
func (p points) sample(n int, random *rng.Stream) points {
	if p.len() <= n {
		return p
	}
	s := points{p.vector, make([]float32, 0, n*p.vector), make([]float64, 0, n)}
	for i := range n {
		lo, hi := i*p.len()/n, (i+1)*p.len()/n
		j := lo + random.IntNAt(uint64(i), hi-lo)
		s.x = append(s.x, p.at(j)...)
		s.weight = append(s.weight, p.weight[j])
	}
	return s
}

// kMeans returns k centroids that make the weighted sum of squared distances
// small (Lloyd 1982), begun as k-means++ does (Arthur and Vassilvitskii 2007).
// A centroid that is nearest to nothing is moved to the vector that costs most.
// Points of weight zero have no say. It panics without points.
func kMeans(p *linalg.Pool, all points, k, iterations int, seed uint64, name string) *Codebook {
	if all.len() < 1 || len(all.x) != all.len()*all.vector || k < 2 {
		panic(fmt.Sprintf("vq: %d numbers and %d weights are no vectors of %d for %d centroids", len(all.x), all.len(), all.vector, k))
	}
	pts := all.sample(max(k*pointsPerCentroid, 1<<16), rng.New(seed, "vq.sample "+name))
	c := newCodebook(pts.vector, plusPlus(p, pts, k, rng.New(seed, "vq.begin "+name)))
	n := pts.len()
	index, cost := make([]int32, n), make([]float64, n)
	before := 0.0
	for it := range iterations {
		total := assign(p, c, pts, index, cost)
		if total == 0 || it > 0 && before-total <= float64(tolerance*before) {
			break
		}
		before = total
		c = centres(pts, c, index, cost)
	}
	return c
}

// assign finds every point's nearest centroid and what the distance costs.
func assign(p *linalg.Pool, c *Codebook, pts points, index []int32, cost []float64) (total float64) {
	n := pts.len()
	p.For((n+assignTask-1)/assignTask, func(_, task int) {
		lo, hi := task*assignTask, min(n, (task+1)*assignTask)
		c.finder().nearest(index[lo:hi], pts.x[lo*pts.vector:hi*pts.vector])
		for i := lo; i < hi; i++ {
			cost[i] = float64(pts.weight[i] * distance(pts.at(i), c.At(int(index[i]))))
		}
	})
	for _, x := range cost {
		total += x
	}
	return total
}

// centres returns the weighted means of what is assigned to each centroid.
func centres(pts points, c *Codebook, index []int32, cost []float64) *Codebook {
	v, k := pts.vector, c.Len()
	sum, weight := make([]float64, k*v), make([]float64, k)
	for i, at := range index {
		w := pts.weight[i]
		weight[at] += w
		s := sum[int(at)*v : int(at)*v+v]
		for j, x := range pts.at(i) {
			s[j] += float64(w * float64(x))
		}
	}
	next := make([]float32, k*v)
	for at := range k {
		if weight[at] == 0 {
			worst := 0
			for i, x := range cost {
				if x > cost[worst] {
					worst = i
				}
			}
			cost[worst] = 0
			copy(next[at*v:], pts.at(worst))
			continue
		}
		for j := range v {
			next[at*v+j] = float32(sum[at*v+j] / weight[at])
		}
	}
	return newCodebook(v, next)
}

func distance(x, c []float32) float64 {
	sum := 0.0
	for j, a := range x {
		d := float64(a) - float64(c[j])
		sum += float64(d * d)
	}
	return sum
}

// plusPlus draws k of the points, each with a chance in proportion to what it
// costs beside those that were drawn before.
func plusPlus(p *linalg.Pool, pts points, k int, random *rng.Stream) []float32 {
	n := pts.len()
	cost := append([]float64(nil), pts.weight...)
	nearest := make([]float64, n)
	tasks := (n + assignTask - 1) / assignTask
	sums := make([]float64, tasks)
	c := make([]float32, 0, k*pts.vector)
	for drawn := range k {
		if drawn > 0 {
			last := c[(drawn-1)*pts.vector:]
			p.For(tasks, func(_, task int) {
				for i := task * assignTask; i < min(n, (task+1)*assignTask); i++ {
					if d := distance(pts.at(i), last); drawn == 1 || d < nearest[i] {
						nearest[i] = d
						cost[i] = float64(d * pts.weight[i])
					}
				}
			})
		}
		total := 0.0
		for t := range sums {
			sums[t] = 0
			for _, x := range cost[t*assignTask : min(n, (t+1)*assignTask)] {
				sums[t] += x
			}
			total += sums[t]
		}
		c = append(c, pts.at(draw(cost, sums, float64(random.Float64At(uint64(drawn))*total)))...)
	}
	return c
}

// draw returns the element at which the running sum of cost passes x; sums are
// those of each assignTask elements.
func draw(cost, sums []float64, x float64) int {
	t := 0
	for t < len(sums)-1 && x >= sums[t] {
		x -= sums[t]
		t++
	}
	last := 0
	for i := t * assignTask; i < min(len(cost), (t+1)*assignTask); i++ {
		if cost[i] == 0 {
			continue
		}
		if last = i; x < cost[i] {
			break
		}
		x -= cost[i]
	}
	return last
}
