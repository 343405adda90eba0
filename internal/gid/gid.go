// Package gid tells goroutines apart.
package gid

// Current returns an opaque token for the goroutine that calls it: the address of the runtime's record of it. Two live
// goroutines never have the same token and a goroutine keeps its token for life, whatever thread it runs on; when it
// has ended, a new one may inherit it. The token is an identity to compare, never an address to follow. 0 means "not
// known": on architectures without an implementation here, or with the build tag purego.
func Current() uintptr { return current() }
