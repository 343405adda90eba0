//go:build go1.24

package loop

import "runtime"

// cleanup undoes watch.
type cleanup = runtime.Cleanup

// watch has the garbage collector bury what b leaves behind, should b become unreachable before it is released.
func (b *Buffer) watch() {
	b.cleanup = runtime.AddCleanup(b, remains.bury, remains{b.block, b.pool, b.pooled})
}

func (b *Buffer) unwatch() { b.cleanup.Stop() }
