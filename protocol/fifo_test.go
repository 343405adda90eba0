package protocol

import "testing"

func TestFifo(t *testing.T) {
	var q fifo
	next, want, sum := 0, 0, 0 // sizes serve as names
	push := func(n int) {
		for i := 0; i < n; i++ {
			q.push(item{size: next})
			sum += next
			next++
		}
	}
	pop := func(n int) {
		t.Helper()
		for i := 0; i < n; i++ {
			if got := q.pop().size; got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
			sum -= want
			want++
		}
		if q.len() != next-want || q.bytes != sum {
			t.Fatalf("%d items of %d bytes wait, want %d of %d", q.len(), q.bytes, next-want, sum)
		}
	}
	for round := 1; round < 40; round++ {
		push(3 * round)
		pop(2 * round)
	}
	grown := cap(q.items)
	for i := 0; i < 10*grown; i++ { // as many come as go: no more room is needed
		push(1)
		pop(1)
	}
	if cap(q.items) > 2*grown {
		t.Errorf("grew from %d to %d with as many items", grown, cap(q.items))
	}
	pop(q.len())
	if cap(q.items) > fifoKeep {
		t.Errorf("an empty queue keeps room for %d items", cap(q.items))
	}
}
