package adapters_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
)

func TestControlConfig(t *testing.T) {
	c := adapters.NewControlAdapter()
	if len(c.GetConfig()) != 0 {
		t.Error("a new configuration must be empty")
	}
	reloads := 0
	c.OnReload(func() {
		reloads++
		if c.GetConfig()["k"] == nil {
			t.Error("a hook must see the new configuration")
		}
	})
	c.OnReload(nil)
	if err := c.SetConfig(map[string]any{"k": 1}); err != nil {
		t.Fatal(err)
	}
	if err := c.SetConfig(map[string]any{"x": 2}); err != nil {
		t.Fatal(err)
	}
	if reloads != 2 {
		t.Errorf("%d reloads, want 2, done when SetConfig returns", reloads)
	}
	config := c.GetConfig()
	if config["k"] != 1 || config["x"] != 2 {
		t.Errorf("got %v, want both keys", config)
	}
	config["k"] = 9
	if c.GetConfig()["k"] != 1 || c.Stats()["k"] != 1 {
		t.Error("GetConfig must return a copy, and Stats must show the configuration")
	}
	if err := c.SetConfig(map[string]any{"": 1, "y": 2}); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("empty key: got %v", err)
	}
	if c.GetConfig()["y"] != nil || reloads != 2 {
		t.Error("a refused SetConfig must change nothing")
	}
}

func TestControlProbes(t *testing.T) {
	c := adapters.NewControlAdapter().(*adapters.ControlAdapter)
	calls := 0
	c.RegisterDebugProbe("answer", func() any { calls++; return 42 })
	c.RegisterDebugProbe("broken", func() any { panic("oil") })
	stats := c.Stats()
	if stats["answer"] != 42 || stats["debug.answer"] != 42 {
		t.Errorf("got %v, want the probe under both names", stats)
	}
	if calls != 1 {
		t.Errorf("the probe was called %d times for one Stats", calls)
	}
	if text, _ := stats["broken"].(string); !strings.Contains(text, "oil") {
		t.Errorf("a probe that panics shows %v", stats["broken"])
	}
	c.RegisterProbe("answer", func() any { return 43 })
	if got := c.DumpState()["answer"]; got != 43 {
		t.Errorf("a later probe must replace an earlier one, got %v", got)
	}
	c.RegisterDebugProbe("answer", nil)
	if _, there := c.Stats()["answer"]; there {
		t.Error("a nil probe must take the name away")
	}
}

func TestControlSourcesAndCounters(t *testing.T) {
	c := adapters.NewControlAdapter().(*adapters.ControlAdapter)
	c.SetConfig(map[string]any{"a": "config", "b": "config", "c": "config", "d": "config"})
	c.AddSource(func(stats map[string]any) { stats["b"], stats["c"], stats["d"] = "source", "source", "source" })
	c.Counter("c").Add(5)
	c.Counter("d").Add(5)
	c.RegisterDebugProbe("d", func() any { return "probe" })
	stats := c.Stats()
	if stats["a"] != "config" || stats["b"] != "source" || stats["c"] != int64(5) || stats["d"] != "probe" {
		t.Errorf("the later kind must win, got %v", stats)
	}
}

func TestControlFromManyGoroutines(t *testing.T) {
	c := adapters.NewControlAdapter().(*adapters.ControlAdapter)
	var wg sync.WaitGroup
	for i := 0; i < 8; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := 0; j < 100; j++ {
				c.SetConfig(map[string]any{"k": j})
				c.OnReload(func() {})
				c.RegisterDebugProbe("probe", func() any { return c.GetConfig()["k"] })
				c.Counter("n").Add(1)
				c.Stats()
			}
		}()
	}
	wg.Wait()
	if got := c.Stats()["n"]; got != int64(800) {
		t.Errorf("counted %v, want 800", got)
	}
}
