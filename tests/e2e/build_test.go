//go:build linux

package e2e

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// withoutTags leaves out every library that can be left out.
const withoutTags = "nouring,nonuma"

// hiding makes copies, of links, of the folders in which the C compiler looks for headers, all without one of them, and
// returns the flags that have it look there only.
func hiding(t *testing.T, header string) string {
	t.Helper()
	said := mustRun(t, ".", []string{"LC_ALL=C"}, "gcc", "-E", "-v", "-x", "c", os.DevNull)
	_, list, found := strings.Cut(said, "#include <...> search starts here:\n")
	list, _, ended := strings.Cut(list, "End of search list.\n")
	if !found || !ended {
		t.Fatalf("gcc does not tell where it looks for headers:\n%s", said)
	}
	flags, hidden := "-nostdinc", 0
	for _, folder := range strings.Fields(list) {
		copied := t.TempDir()
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() == header {
				hidden++
			} else if err := os.Symlink(filepath.Join(folder, e.Name()), filepath.Join(copied, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
		flags += " -isystem " + copied
	}
	if hidden == 0 {
		t.Fatalf("%s is not there to be hidden", header)
	}
	return flags
}

// What the core does not run on, and a Go without cgo, are told in one line.
func TestUnsupported(t *testing.T) {
	for env, says := range map[string]string{
		"CGO_CFLAGS=-O1 -U__linux__": "supports Linux only", // as a C compiler for another system sees it
		"CGO_ENABLED=0":              "needs_cgo",
	} {
		out, err := command(root, []string{env}, "go", "build", "./tcpio")
		if err == nil || !strings.Contains(out, says) {
			t.Errorf("%s: %v\n%s", env, err, out)
		}
	}
}

// Without a library's header a build fails with one line that tells which package brings it, and succeeds with the tag
// that does without, if there is one.
func TestMissingHeader(t *testing.T) {
	for _, c := range []struct{ header, tag, pkg string }{
		{"liburing.h", "nouring", "liburing-dev"},
		{"numa.h", "nonuma", "libnuma-dev"},
		{"zlib.h", "", "zlib1g-dev"},
	} {
		t.Run(c.header, func(t *testing.T) {
			env := []string{"CGO_CFLAGS=-O1 " + hiding(t, c.header)}
			out, err := command(root, env, "go", "build", "./csrc")
			if err == nil {
				t.Fatal("built without it")
			}
			// What the compiler adds to show the line's place is indented.
			lines := 0
			for _, line := range strings.Split(out, "\n") {
				if line == "" || line[0] == '#' || line[0] == ' ' {
					continue
				}
				lines++
				if !strings.Contains(line, c.pkg) || c.tag != "" && !strings.Contains(line, "-tags "+c.tag) {
					t.Errorf("the build says %q", line)
				}
			}
			if lines != 1 {
				t.Errorf("the build says %d lines:\n%s", lines, out)
			}
			if c.tag != "" {
				mustRun(t, root, env, "go", "build", "-tags", c.tag, "./csrc")
			}
		})
	}
}

// libraries lists what a program is linked with.
func libraries(t *testing.T, program string) []string {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// With the tags, nothing but the C library is needed to build and to run; the backend that is left serves whoever asks
// for the other.
func TestWithoutLibraries(t *testing.T) {
	program := filepath.Join(t.TempDir(), "echo")
	mustRun(t, root, nil, "go", "build", "-buildvcs=false", "-tags", withoutTags, "-o", program, "./examples/echo")
	for _, name := range []string{"liburing.so", "libnuma.so"} {
		needs := func(library string) bool { return strings.HasPrefix(library, name) }
		if slices.ContainsFunc(libraries(t, program), needs) {
			t.Errorf("built with -tags %s it needs %s", withoutTags, name)
		}
		if !slices.ContainsFunc(libraries(t, echoProgram(t)), needs) {
			t.Errorf("built without tags it does not need %s", name)
		}
	}

	cmd := exec.Command(program, "-addr", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "HIOLOAD_BACKEND=io_uring")
	p := startCommand(t, cmd)
	c := dial(t, p.addr)
	if err := c.send(opText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	c.expect(t, opBinary, []byte("hello"))
	c.goodbye(t)
	if slices.Contains(descriptors(p.cmd.Process.Pid), aRing) {
		t.Error("it has a ring")
	}
}
