//go:build linux

package reactor_test

import (
	"fmt"
	"syscall"

	"github.com/momentics/hioload-ws/reactor"
)

// A pipe is read as its bytes come, until the other end is closed.
func Example() {
	r, err := reactor.NewReactor()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()

	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC); err != nil {
		fmt.Println(err)
		return
	}
	done := false
	buf := make([]byte, 4096)
	err = r.Register(uintptr(pipe[0]), reactor.EventRead, func(fd uintptr, _ reactor.FDEventType) {
		n, err := syscall.Read(int(fd), buf)
		switch {
		case n > 0:
			fmt.Printf("read %q\n", buf[:n])
			syscall.Close(pipe[1])
		case err != syscall.EAGAIN && err != syscall.EINTR: // the end, or an error
			fmt.Println("end of stream")
			r.Unregister(fd) // first this, then the close
			syscall.Close(int(fd))
			done = true
		}
	})
	syscall.Write(pipe[1], []byte("hello"))
	for err == nil && !done {
		err = r.Poll(-1)
	}
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// read "hello"
	// end of stream
}
