package numa

import "runtime"

// BindThread locks the calling goroutine to its thread and binds that to the processors of m. restore gives the thread
// back as it was, and unlocks the goroutine; the same goroutine has to call it. On error nothing has changed.
//
// A thread must not serve other goroutines with an affinity of its own, and ending the goroutine without unlocking it is
// no way out: the runtime ends such a thread, but never the process's first, which it keeps as it is.
func BindThread(m *Mask) (restore func(), err error) {
	runtime.LockOSThread()
	before, err := Affinity(0)
	if err == nil {
		err = SetAffinity(0, m)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	return func() {
		if SetAffinity(0, &before) == nil {
			runtime.UnlockOSThread()
		} // else the thread ends with its goroutine, which is still locked to it
	}, nil
}
