//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
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
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			p := startOn(t, backend, echoProgram(t))
			url := "ws://" + p.addr + "/"
			for name, command := range map[string][]string{
				"npm ws":            {"node", "clients/ws_client.cjs", url, filepath.Join(dir, "node")},
				"Python websockets": {filepath.Join(dir, "python", "bin", "python"), "clients/ws_client.py", url},
			} {
				t.Run(name, func(t *testing.T) {
					out := mustRun(t, ".", nil, command[0], command[1:]...)
					if !regexp.MustCompile(`(?m)^[1-9]\d+ checks passed$`).MatchString(out) {
						t.Errorf("the client printed %q", out)
					}
					t.Log(out)
				})
			}
		})
	}
}
