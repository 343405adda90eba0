package adapters

import "testing"

func TestFIFO(t *testing.T) {
	r := newFIFO[int](3)
	if _, ok := r.Dequeue(); ok || r.Len() != 0 || r.Cap() != 3 {
		t.Error("a new fifo must be empty")
	}
	next, want := 0, 0
	for round := 0; round < 10; round++ {
		for r.Enqueue(next) {
			next++
		}
		if r.Len() != r.Cap() {
			t.Fatalf("full with %d of %d", r.Len(), r.Cap())
		}
		for i := 0; i < 2; i++ {
			got, ok := r.Dequeue()
			if !ok || got != want {
				t.Fatalf("got %d, %v; want %d", got, ok, want)
			}
			want++
		}
		if round == 5 {
			r.resize(7)
		}
	}
	for ; want < next; want++ {
		if got, ok := r.Dequeue(); !ok || got != want {
			t.Fatalf("got %d, %v; want %d", got, ok, want)
		}
	}
	if r.Len() != 0 {
		t.Errorf("%d items too many", r.Len())
	}
}

func TestRingForgetsWhatHasLeft(t *testing.T) {
	r := newFIFO[*int](2)
	r.Enqueue(new(int))
	r.Dequeue()
	for _, p := range r.items {
		if p != nil {
			t.Error("an item that has left is still referred to")
		}
	}
}
