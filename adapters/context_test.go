package adapters_test

import (
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/adapters"
)

func TestContextStore(t *testing.T) {
	ctx := adapters.NewContextAdapter().NewContext()
	if _, ok := ctx.Get("k"); ok {
		t.Error("a new context must be empty")
	}
	ctx.Set("k", 1, false)
	ctx.Set("p", 2, true)
	ctx.Set("nil", nil, true)
	if v, ok := ctx.Get("nil"); v != nil || !ok {
		t.Error("nil is a value")
	}
	if v, ok := ctx.Get("p"); v != 2 || !ok || !ctx.IsPropagated("p") || ctx.IsPropagated("k") {
		t.Error("values and their propagation must be kept")
	}
	keys := ctx.Keys()
	sort.Strings(keys)
	if strings.Join(keys, " ") != "k nil p" {
		t.Errorf("keys: %v", keys)
	}
	clone := ctx.Clone()
	ctx.Set("p", 3, true)
	if v, _ := clone.Get("p"); v != 2 || len(clone.Keys()) != 2 {
		t.Error("a clone has the propagated values of its moment")
	}
	ctx.Delete("p")
	ctx.Delete("p")
	if _, ok := ctx.Get("p"); ok || ctx.IsPropagated("p") {
		t.Error("a deleted value is still there")
	}
}

func TestContextStoreExpiry(t *testing.T) {
	ctx := adapters.NewContextAdapter().NewContext()
	ctx.Set("soon", 1, true)
	ctx.Set("late", 1, true)
	ctx.WithExpiration("late", int64(time.Hour))
	ctx.WithExpiration("soon", 0)
	ctx.WithExpiration("absent", int64(time.Hour))
	if _, ok := ctx.Get("soon"); ok || ctx.IsPropagated("soon") {
		t.Error("an expired value is still there")
	}
	if got := ctx.Clone().Keys(); len(got) != 1 || got[0] != "late" {
		t.Errorf("a clone has %v, want late", got)
	}
	if got := ctx.Keys(); len(got) != 1 || got[0] != "late" {
		t.Errorf("keys %v, want late", got)
	}
	ctx.Set("soon", 2, false)
	if v, ok := ctx.Get("soon"); v != 2 || !ok {
		t.Error("a value set again has no expiry")
	}
}
