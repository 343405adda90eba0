//go:build linux

// Package scripts tests the shell scripts behind `make run` and `make test` on made-up machines: a PATH that holds only
// what the test puts there, with a package manager that writes down what it is asked for.
package scripts

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a folder of commands, the whole PATH of what runs on it.
type machine struct {
	t   *testing.T
	bin string
	log string // what the package manager and sudo were called with, a line each
}

// newMachine has the tools every system has, and those named.
func newMachine(t *testing.T, tools ...string) *machine {
	m := &machine{t: t, bin: t.TempDir(), log: filepath.Join(t.TempDir(), "log")}
	basics := []string{"sh", "mktemp", "rm", "cat", "sort", "paste", "sed", "dirname", "env", "ls", "id", "true", "ln"}
	for _, tool := range append(basics, tools...) {
		m.link(tool)
	}
	return m
}

// link gives the machine this machine's tool.
func (m *machine) link(tool string) {
	m.t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.Symlink(path, filepath.Join(m.bin, tool)); err != nil {
		m.t.Fatal(err)
	}
}

// script puts a command onto the machine. It may write to $LOG.
func (m *machine) script(name, body string) {
	m.t.Helper()
	path := filepath.Join(m.bin, name)
	os.Remove(path)
	if err := os.WriteFile(path, []byte("#!/bin/sh\nLOG="+m.log+"\n"+body+"\n"), 0o777); err != nil {
		m.t.Fatal(err)
	}
}

// manager puts a package manager onto the machine, whose installations succeed: they bring gcc.
func (m *machine) manager(name string) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		m.t.Fatal(err)
	}
	m.script(name, `echo "`+name+` $*" >>$LOG
case "$*" in *install*|*add*) ln -sf `+gcc+` `+m.bin+`/gcc ;; esac`)
}

// user makes whoever runs there root (0) or not.
func (m *machine) user(uid string) {
	m.script("id", "echo "+uid)
}

// install runs install-deps.sh and returns what was logged, what it said, and its exit status.
func (m *machine) install(group string) (log, said string, status int) {
	m.t.Helper()
	cmd := exec.Command("/bin/sh", "../../scripts/install-deps.sh", group)
	// The compiler finds its own parts by PATH, so that gcc works once it is linked.
	cmd.Env = []string{"PATH=" + m.bin, "HOME=" + m.t.TempDir(), "COMPILER_PATH=/usr/bin"}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	logged, err := os.ReadFile(m.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	return string(logged), string(out), cmd.ProcessState.ExitCode()
}

func TestInstallsWhatIsMissing(t *testing.T) {
	for manager, want := range map[string]string{
		"apt-get": "apt-get update -q\n" +
			"apt-get install -q -y --no-install-recommends gcc libc6-dev libnuma-dev liburing-dev zlib1g-dev\n",
		"dnf": "dnf install -q -y gcc glibc-devel numactl-devel liburing-devel zlib-devel\n",
		"apk": "apk add --no-cache gcc musl-dev linux-headers numactl-dev liburing-dev zlib-dev\n",
	} {
		t.Run(manager, func(t *testing.T) {
			m := newMachine(t, "go")
			m.user("0")
			m.manager(manager)
			log, said, status := m.install("run")
			if status != 0 || log != want {
				t.Errorf("status %d, called\n%swant\n%s%s", status, log, want, said)
			}
		})
		t.Run(manager+", not root", func(t *testing.T) {
			m := newMachine(t, "go")
			m.user("1000")
			m.manager(manager)
			m.script("sudo", `echo sudo >>$LOG; exec "$@"`)
			log, said, status := m.install("run")
			want := "sudo\n" + strings.Replace(want, "\napt-get install", "\nsudo\napt-get install", 1)
			if status != 0 || log != want {
				t.Errorf("status %d, called\n%swant\n%s%s", status, log, want, said)
			}
		})
	}
}

// lacking puts a gcc onto the machine that knows nothing of a header until a package of that name is installed.
func (m *machine) lacking(header, pkg string) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		m.t.Fatal(err)
	}
	m.script("gcc", `if [ ! -e `+m.bin+`/installed ] && [ -n "$(sed -n '/<`+header+`>/p' "$1")" ]; then exit 1; fi
exec `+gcc+` "$@"`)
	m.script("apt-get", `echo "apt-get $*" >>$LOG
case "$*" in *install*" `+pkg+`"*) : >`+m.bin+`/installed ;; esac`)
}

// A library is looked for by compiling with it, and is all that is installed.
func TestInstallsALibrary(t *testing.T) {
	for _, c := range []struct{ group, header, pkg string }{
		{"run", "liburing.h", "liburing-dev"},
		{"run", "numa.h", "libnuma-dev"},
		{"run", "zlib.h", "zlib1g-dev"},
		{"micro", "ck_ring.h", "libck-dev"},
	} {
		t.Run(c.header, func(t *testing.T) {
			if c.group == "micro" && exec.Command("gcc", "-E", "-include", c.header, "-x", "c", os.DevNull).Run() != nil {
				t.Skip("this machine has no " + c.pkg + ": make microbench installs it")
			}
			m := newMachine(t, "go")
			m.user("0")
			m.lacking(c.header, c.pkg)
			log, said, status := m.install(c.group)
			want := "apt-get update -q\napt-get install -q -y --no-install-recommends " + c.pkg + "\n"
			if status != 0 || log != want {
				t.Errorf("status %d, called\n%swant\n%s%s", status, log, want, said)
			}
		})
	}
}

// The machine with NUMA nodes needs a shell without libraries: another busybox does not count.
func TestInstallsTheVirtualMachine(t *testing.T) {
	m := newMachine(t, "go")
	m.user("0")
	m.script("cpio", "")
	m.script("busybox", "")
	m.script("ldd", `[ ! -e `+m.bin+`/qemu-system-x86_64 ]`)
	m.script("apt-get", `echo "apt-get $*" >>$LOG
case "$*" in *install*) ln -s true `+m.bin+`/qemu-system-x86_64 ;; esac`)
	log, said, status := m.install("vm")
	want := "apt-get update -q\napt-get install -q -y --no-install-recommends busybox-static qemu-system-x86\n"
	if status != 0 || log != want {
		t.Errorf("status %d, called\n%swant\n%s%s", status, log, want, said)
	}
}

// Where nothing is missing nobody is asked for anything.
func TestNothingMissing(t *testing.T) {
	m := newMachine(t, "go", "gcc")
	m.user("1000")
	m.manager("apt-get")
	m.script("sudo", "echo sudo >>$LOG")
	if log, said, status := m.install("run"); status != 0 || log != "" || said != "" {
		t.Errorf("status %d, called %q, said %q", status, log, said)
	}
}

// What can't be done is said in words that help, and fails.
func TestCannotInstall(t *testing.T) {
	t.Run("neither root nor sudo", func(t *testing.T) {
		m := newMachine(t, "go")
		m.user("1000")
		m.manager("apt-get")
		log, said, status := m.install("run")
		if status != 1 || log != "" || !strings.Contains(said, "As root, run: sh scripts/install-deps.sh run") {
			t.Errorf("status %d, called %q, said %q", status, log, said)
		}
	})
	t.Run("no package manager we know", func(t *testing.T) {
		m := newMachine(t, "go")
		m.user("0")
		_, said, status := m.install("run")
		if status != 1 || !strings.Contains(said, "missing: cc libnuma liburing zlib\n") {
			t.Errorf("status %d, said %q", status, said)
		}
	})
	t.Run("the installation did not help", func(t *testing.T) {
		m := newMachine(t, "go")
		m.user("0")
		m.script("dnf", "exit 0")
		_, said, status := m.install("run")
		if status != 1 || !strings.Contains(said, "still missing after the installation: cc libnuma liburing zlib\n") {
			t.Errorf("status %d, said %q", status, said)
		}
	})
}

// with-go.sh runs its command with a Go that go.mod allows, and passes on how it ended.
func TestWithGo(t *testing.T) {
	out, err := exec.Command("sh", "../../scripts/with-go.sh", "go", "list", "-m", "-f", "{{.GoVersion}}").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "1.23") {
		t.Errorf("%v: %s", err, out)
	}
	cmd := exec.Command("sh", "../../scripts/with-go.sh", "sh", "-c", "exit 7")
	if cmd.Run(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("exit status %d, want 7", cmd.ProcessState.ExitCode())
	}
}
