//go:build !go1.24

package loop

import "runtime"

// cleanup undoes watch; a finalizer needs nothing to be undone with.
type cleanup struct{}

// watch has the garbage collector bury what b leaves behind, should b become unreachable before it is released.
func (b *Buffer) watch() {
	runtime.SetFinalizer(b, func(b *Buffer) { remains{b.block, b.pool, b.pooled}.bury() })
}

func (b *Buffer) unwatch() { runtime.SetFinalizer(b, nil) }
