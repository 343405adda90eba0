package api

// Control is how a running system is looked at and adjusted. All methods are safe for use by many goroutines.
type Control interface {
	// GetConfig returns a copy of the configuration.
	GetConfig() map[string]any
	// SetConfig merges the given keys into the configuration and then runs the reload hooks.
	SetConfig(map[string]any) error
	// Stats returns a fresh map with the configuration, the counters and the value of every probe.
	Stats() map[string]any
	// OnReload registers a hook that runs after each SetConfig.
	OnReload(func())
	// RegisterDebugProbe makes Stats show probe() under name and under "debug." + name. A later probe of the same name
	// replaces the earlier one.
	RegisterDebugProbe(name string, probe func() any)
}

// Debug shows the state of a component by named probes.
type Debug interface {
	// DumpState calls every probe and returns the results by name.
	DumpState() map[string]any
	// RegisterProbe adds a probe, or replaces the one of that name.
	RegisterProbe(name string, fn func() any)
}
