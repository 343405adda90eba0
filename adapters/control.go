package adapters

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/momentics/hioload-ws/api"
)

// ControlAdapter implements api.Control and api.Debug. All methods are safe for use by many goroutines; hooks, probes
// and sources are called without any lock held and may use the ControlAdapter themselves.
type ControlAdapter struct {
	mu       sync.Mutex
	config   map[string]any
	counters map[string]*atomic.Int64
	probes   map[string]func() any
	sources  []func(stats map[string]any)
	hooks    []func()
}

var (
	_ api.Control = (*ControlAdapter)(nil)
	_ api.Debug   = (*ControlAdapter)(nil)
)

// NewControlAdapter returns an empty *ControlAdapter.
func NewControlAdapter() api.Control {
	return &ControlAdapter{
		config:   make(map[string]any),
		counters: make(map[string]*atomic.Int64),
		probes:   make(map[string]func() any),
	}
}

// GetConfig returns a copy of the configuration.
func (c *ControlAdapter) GetConfig() map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	config := make(map[string]any, len(c.config))
	for key, value := range c.config {
		config[key] = value
	}
	return config
}

// SetConfig merges the given keys into the configuration and then calls the reload hooks, in the order in which they
// were registered, on the calling goroutine: when it returns, they have run. An empty key is api.ErrInvalidArgument, and
// then nothing is changed.
func (c *ControlAdapter) SetConfig(config map[string]any) error {
	if _, empty := config[""]; empty {
		return fmt.Errorf("adapters: SetConfig: empty key: %w", api.ErrInvalidArgument)
	}
	c.mu.Lock()
	for key, value := range config {
		c.config[key] = value
	}
	hooks := c.hooks // appended to, never written over
	c.mu.Unlock()
	for _, hook := range hooks {
		hook()
	}
	return nil
}

// OnReload registers a hook for SetConfig to call. nil is ignored.
func (c *ControlAdapter) OnReload(hook func()) {
	if hook == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hooks = append(c.hooks, hook)
}

// RegisterDebugProbe makes Stats and DumpState call probe. nil takes the probe of that name away.
func (c *ControlAdapter) RegisterDebugProbe(name string, probe func() any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if probe == nil {
		delete(c.probes, name)
		return
	}
	c.probes[name] = probe
}

// RegisterProbe is RegisterDebugProbe.
func (c *ControlAdapter) RegisterProbe(name string, probe func() any) {
	c.RegisterDebugProbe(name, probe)
}

// Counter returns the counter that Stats shows under name, an int64; it is made at the first call.
func (c *ControlAdapter) Counter(name string) *atomic.Int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	counter := c.counters[name]
	if counter == nil {
		counter = new(atomic.Int64)
		c.counters[name] = counter
	}
	return counter
}

// AddSource registers a function that adds its own entries to each map that Stats makes.
func (c *ControlAdapter) AddSource(source func(stats map[string]any)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sources = append(c.sources, source)
}

// Stats returns a fresh map: the configuration, then what the sources add, the counters, and the value of each probe
// under its bare name and under "debug." and its name. Where names clash the later kind wins. A probe that panics shows
// the text of its panic.
func (c *ControlAdapter) Stats() map[string]any {
	stats := c.GetConfig()
	c.mu.Lock()
	sources := c.sources // appended to, never written over
	c.mu.Unlock()
	for _, source := range sources {
		source(stats)
	}
	c.mu.Lock()
	for name, counter := range c.counters {
		stats[name] = counter.Load()
	}
	c.mu.Unlock()
	for name, value := range c.DumpState() {
		stats[name] = value
		stats["debug."+name] = value
	}
	return stats
}

// DumpState calls every probe once and returns the values by name.
func (c *ControlAdapter) DumpState() map[string]any {
	c.mu.Lock()
	probes := make(map[string]func() any, len(c.probes))
	for name, probe := range c.probes {
		probes[name] = probe
	}
	c.mu.Unlock()
	state := make(map[string]any, len(probes))
	for name, probe := range probes {
		state[name] = ask(probe)
	}
	return state
}

// ask calls a probe; a panic becomes its value.
func ask(probe func() any) (value any) {
	defer func() {
		if cause := recover(); cause != nil {
			value = fmt.Sprintf("probe panicked: %v", cause)
		}
	}()
	return probe()
}
