//go:build linux

package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// walk calls visit with the path, relative to the root, and the content of every file of the tree with that extension.
func walk(t *testing.T, ext string, visit func(path string, content []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || path == filepath.Join(root, "build")) {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ext {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		visit(relative, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// One package crosses into C.
func TestCgoOnlyInCsrc(t *testing.T) {
	importC := regexp.MustCompile(`(?m)^(import\s+|\s+)"C"\s*$`)
	bindings := 0
	walk(t, ".go", func(path string, content []byte) {
		switch {
		case !importC.Match(content):
		case filepath.Dir(path) == "csrc":
			bindings++
		default:
			t.Errorf(`%s has import "C"`, path)
		}
	})
	if bindings == 0 {
		t.Error(`found no import "C" in csrc: does the test still see them?`)
	}
}

// Go's build cache knows the files of a package's own folder; those of csrc/include count only because they are
// embedded. An edit of any of them must rebuild the package.
func TestHeaderEditRebuilds(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "csrc"), os.DirFS(filepath.Join(root, "csrc"))); err != nil {
		t.Fatal(err)
	}
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), gomod, 0o666); err != nil {
		t.Fatal(err)
	}
	mustRun(t, dir, offline, "go", "build", "./csrc")

	headers, err := filepath.Glob(filepath.Join(dir, "csrc/include/*.h"))
	if err != nil || len(headers) == 0 {
		t.Fatalf("headers: %v, %v", headers, err)
	}
	// Headers for users of C alone are in no file of the core, which can't be stale for their sake.
	var core bytes.Buffer
	for _, ext := range []string{".c", ".h", ".go"} {
		walk(t, ext, func(path string, content []byte) {
			if strings.HasPrefix(path, "csrc/") {
				core.Write(content)
			}
		})
	}
	headers = slices.DeleteFunc(headers, func(header string) bool {
		return !strings.Contains(core.String(), `#include "`+filepath.Base(header)+`"`)
	})
	if len(headers) < 3 {
		t.Fatalf("the core has only %v", headers)
	}
	for _, header := range headers {
		content, err := os.ReadFile(header)
		if err != nil {
			t.Fatal(err)
		}
		const mark = "this header was read again"
		if err := os.WriteFile(header, append([]byte("#error "+mark+"\n"), content...), 0o666); err != nil {
			t.Fatal(err)
		}
		if out, err := command(dir, offline, "go", "build", "./csrc"); err == nil || !strings.Contains(err.Error(), mark) {
			t.Errorf("after an edit of %s: built from a stale cache (%v)\n%s", filepath.Base(header), err, out)
		}
		if err := os.WriteFile(header, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// quickStart is the README's first Go program.
func quickStart(t *testing.T) []byte {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := bytes.Cut(readme, []byte("```go\npackage main\n"))
	program, _, closed := bytes.Cut(rest, []byte("\n```\n"))
	if !found || !closed {
		t.Fatal("README.md shows no Go program")
	}
	return append([]byte("package main\n"), program...)
}

// The README's quick start builds in a user's module as it stands, and answers a message with the same one.
func TestQuickStart(t *testing.T) {
	program := quickStart(t)
	mustRun(t, consumer(t, program), offline, "go", "vet", ".")

	const port = `":9001"`
	if bytes.Count(program, []byte(port)) != 1 {
		t.Fatalf("the quick start does not listen on %s", port)
	}
	dir := consumer(t, bytes.Replace(program, []byte(port), []byte(`"127.0.0.1:0"`), 1))
	mustRun(t, dir, offline, "go", "build", "-o", "quickstart")
	p := start(t, filepath.Join(dir, "quickstart"))
	c := dial(t, p.addr)
	for _, opcode := range []byte{opText, opBinary} {
		if err := c.send(opcode, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		c.expect(t, opcode, []byte("hello"))
	}
	c.goodbye(t)
}

// Relative links in the documents lead somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	links := 0
	walk(t, ".md", func(path string, content []byte) {
		for _, m := range link.FindAllSubmatch(content, -1) {
			links++
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(path), string(m[1]))); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
			}
		}
	})
	if links == 0 {
		t.Error("found no link at all")
	}
}

// Both ways of running the example that its README names, to the end that Ctrl-C gives it.
func TestGoRun(t *testing.T) {
	for _, way := range []struct{ dir, what string }{{"", "./examples/echo"}, {"examples/echo", "main.go"}} {
		t.Run(way.what, func(t *testing.T) {
			cmd := exec.Command("go", "run", way.what, "-addr", "127.0.0.1:0")
			cmd.Dir = filepath.Join(root, way.dir)
			p := startCommand(t, cmd)
			c := dial(t, p.addr)
			if err := c.send(opText, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			c.expect(t, opBinary, []byte("hello"))
			c.goodbye(t)
			p.interrupt()
			p.waitAnyhow() // "go run" calls every program that Ctrl-C has ended a failure
			// In between may come a report on the close event, which the handler panics on.
			_, last, found := strings.Cut(p.output(), "Shutting down echo server...\n")
			if !found || !strings.HasSuffix(last, "Server stopped.\n") {
				t.Errorf("the program ended with\n%s", p.output())
			}
		})
	}
}
