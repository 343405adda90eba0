// Package program is what the servers in Go have in common: a command line, and the count of their allocations.
package program

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Address reads the command line, "NAME [flags] HOST:PORT", and returns its argument. From then on SIGUSR1 prints how
// much the program has allocated, until then it costs nothing: "mallocs N bytes N".
func Address() string {
	name := filepath.Base(os.Args[0])
	log.SetPrefix(name + ": ")
	flag.Usage = func() {
		fmt.Fprintf(os.Stderr, "usage: %s [flags] HOST:PORT\n", name)
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Printf("mallocs %d bytes %d\n", m.Mallocs, m.TotalAlloc)
		}
	}()
	return flag.Arg(0)
}

// Timeout adds the flag -timeout: how long a connection may be silent.
func Timeout() *time.Duration {
	return flag.Duration("timeout", 0, "close connections from which nothing comes for that long; 0: none")
}

// Listening prints that the server listens, and where.
func Listening(address net.Addr) {
	fmt.Printf("port %d\n", address.(*net.TCPAddr).Port)
}

// Listen listens, and prints that.
func Listen(address string) net.Listener {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	Listening(listener.Addr())
	return listener
}

// Serve serves HTTP at the address of the command line: handler upgrades each request and serves the connection.
func Serve(handler http.HandlerFunc) {
	log.Fatal(http.Serve(Listen(Address()), handler))
}
