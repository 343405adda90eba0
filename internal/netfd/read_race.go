//go:build race

package netfd

import "syscall"

// Read and published tell the race detector what it knows of package syscall's own calls: what happened before bytes
// were written happened before they were read. It does not know which bytes, and takes it to hold for all.

// Read reads what is there, up to len(p) bytes. 0 bytes without an error are the end of a stream, or an empty datagram,
// or an empty p. syscall.EAGAIN: nothing is there yet.
func Read(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// published is called before bytes are given to the kernel.
func published() { _, _ = syscall.Write(-1, nil) } // fails, having told
