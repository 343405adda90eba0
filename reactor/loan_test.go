package reactor

import (
	"bytes"
	"testing"
)

func TestLoan(t *testing.T) {
	var n loan
	var first, second bytes.Buffer
	n.lend(&first)
	first.WriteString("first")
	first.Next(len("first"))
	if !n.back(&first) || first.Cap() != 0 {
		t.Fatal("what was read to its end does not come back")
	}
	lent := &n.memory[0]
	n.lend(&first)
	if &n.memory[0] != lent {
		t.Fatal("what came back is not lent again")
	}
	first.WriteString("kept")
	n.lend(&second)
	second.WriteString("second")
	if first.String() != "kept" || second.String() != "second" {
		t.Fatalf("two write to the same memory: %q, %q", first.String(), second.String())
	}
	first.Reset()
	if n.back(&first) {
		t.Fatal("memory came back that had been given up")
	}
	own := *bytes.NewBuffer(make([]byte, 0, loanSize))
	if n.back(&own) {
		t.Fatal("somebody else's memory was taken")
	}
	second.Reset()
	second.Write(make([]byte, loanSize+1))
	second.Reset()
	if n.back(&second) {
		t.Fatal("a buffer that has grown beyond the loan gave it back")
	}
}
