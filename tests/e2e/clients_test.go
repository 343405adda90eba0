//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

// clients is the folder into which scripts/install-clients.sh put the clients. `make test` names it, and then they must
// be there; a bare `go test` takes them from the usual place and skips, with a word, where nobody has installed them.
func clients(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("HIOLOAD_CLIENTS"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "hioload-ws", "clients")
	if _, err := os.Stat(filepath.Join(dir, "python")); err != nil {
		t.Skip("the clients are not installed: run scripts/install-clients.sh, or make test")
	}
	return dir
}

func TestRealClients(t *testing.T) {
	dir := clients(t)
	node, python := filepath.Join(dir, "node"), filepath.Join(dir, "python", "bin", "python")
	check := func(t *testing.T, addr string, mode ...string) {
		url := "ws://" + addr + "/"
		for name, command := range map[string][]string{
			"npm ws":            {"node", "clients/ws_client.cjs", url, node},
			"Python websockets": {python, "clients/ws_client.py", url},
		} {
			t.Run(name, func(t *testing.T) {
				out := mustRun(t, ".", nil, command[0], append(command[1:], mode...)...)
				if !regexp.MustCompile(`(?m)^[1-9]\d+ checks passed$`).MatchString(out) {
					t.Errorf("the client printed %q", out)
				}
				t.Log(out)
			})
		}
	}
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) { check(t, startOn(t, backend, echoProgram(t)).addr) })
		t.Run(backend+", permessage-deflate", func(t *testing.T) {
			check(t, serveEcho(t, backend, func(cfg *server.Config) {
				cfg.Compression = new(protocol.Compression)
			}), "deflate")
		})
	}
}
