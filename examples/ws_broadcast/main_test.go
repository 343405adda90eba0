//go:build linux

package main

import (
	"encoding/json"
	"testing"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
	"github.com/momentics/hioload-ws/protocol"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// price is what subscribers get.
type price struct {
	Name  string
	Price float64
}

func next(t *testing.T, w *exampletest.WebSocket) price {
	t.Helper()
	var p price
	if text := w.Next(); json.Unmarshal([]byte(text), &p) != nil || p.Price <= 0 {
		t.Fatalf("%q is no price", text)
	}
	return p
}

func TestPrices(t *testing.T) {
	p := exampletest.Start(t, "-addr", "127.0.0.1:0", "-every", "2ms")
	p.Err.Want("serving WebSocket")
	addr := p.Addr()
	one := exampletest.Open(t, "ws://"+addr+"/prices/birch")
	all := exampletest.Open(t, "ws://"+addr+"/prices")
	for range 10 {
		if got := next(t, one); got.Name != "birch" {
			t.Fatalf("a price of %q, want of birch", got.Name)
		}
	}
	seen := make(map[string]int)
	for range 10 * len(names) {
		seen[next(t, all).Name]++
	}
	for _, name := range names {
		if n := seen[name]; n < 9 || n > 11 {
			t.Errorf("%d prices of %s in %d", n, name, 10*len(names))
		}
	}
	p.Interrupt()
	one.DrainedAndClosed(protocol.CloseGoingAway)
}

// Prices that come before the server runs are for nobody, and nothing to complain of.
func TestPricesBeforeRun(t *testing.T) {
	p := exampletest.Start(t, "-addr", "127.0.0.1:0", "-every", "1us")
	p.Err.Want("serving WebSocket")
	birch := exampletest.Open(t, "ws://"+p.Addr()+"/prices/birch")
	next(t, birch)
	p.Interrupt()
	birch.DrainedAndClosed(protocol.CloseGoingAway)
}

func TestNothingToPublish(t *testing.T) {
	exampletest.Fails(t, 1, "missing port", "-addr", "nonsense")
	exampletest.Fails(t, 1, "-every", "-every", "0s")
}
