package query

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Whatever the order, and whichever were added together first, the sum has the same digits.
func TestNoOrderShowsInASum(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	plainDiffers := false
	for range 200 {
		terms := make([]float64, 1+rnd.IntN(300))
		for i := range terms {
			terms[i] = rnd.NormFloat64() * math.Exp(4*rnd.NormFloat64())
		}
		sum := func() (exact, plain float64) {
			var all, part floatSum
			for _, x := range terms {
				plain += x
				if part.add(x); rnd.IntN(4) == 0 {
					all.merge(part)
					part = floatSum{}
				}
			}
			all.merge(part)
			return all.value(), plain
		}
		exact, plain := sum()
		for range 20 {
			rnd.Shuffle(len(terms), func(i, j int) { terms[i], terms[j] = terms[j], terms[i] })
			again, plainAgain := sum()
			if again != exact {
				t.Fatalf("%d terms: %v and %v", len(terms), exact, again)
			}
			plainDiffers = plainDiffers || plain != plainAgain
		}
	}
	if !plainDiffers {
		t.Error("plain sums do not depend on the order either: the test shows nothing")
	}
}

func TestASumBeyondTheLargestFloatStaysThere(t *testing.T) {
	var s floatSum
	for range 3 {
		s.add(-math.MaxFloat64)
	}
	if s.value() != -math.MaxFloat64 {
		t.Errorf("sum is %v", s.value())
	}
}
