//go:build linux

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// browser is a Chromium without a window, driven by its DevTools protocol over a pair of pipes: it reads commands from
// descriptor 3 and writes answers and events to 4, each as JSON with a zero byte behind it.
type browser struct {
	commands *os.File

	mu      sync.Mutex
	last    int                   // id of a command
	waiting map[any]chan devtools // by id for answers, by awaited for events
	err     error                 // since it has ended
}

// devtools is a message of the protocol.
type devtools struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// awaited is an event of a session.
type awaited struct{ session, method string }

// chromium is the path of a browser's program; a test that has none is skipped.
func chromium(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skipf("no browser: %v; on Debian, scripts/install-deps.sh test installs one", err)
	}
	return path
}

// startBrowser starts a browser that ends with the test.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	theirs, commands, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	events, theirEvents, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// Everything it keeps is in a folder of the test's. A sandbox of its own needs rights that root and containers lack;
	// it sees our pages only.
	dir := t.TempDir()
	cmd := exec.Command(chromium(t), "--headless", "--remote-debugging-pipe", "--user-data-dir="+dir, "--no-sandbox",
		"--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--no-proxy-server")
	var output safeBuffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.ExtraFiles = []*os.File{theirs, theirEvents}
	cmd.Env = append(os.Environ(), "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	theirEvents.Close()
	b := &browser{commands: commands, waiting: map[any]chan devtools{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.listen(events)
	}()
	t.Cleanup(func() {
		if err := b.command("", "Browser.close", nil, nil); err != nil {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		<-read
		_ = cmd.Wait() // it may have been killed
		commands.Close()
		events.Close()
		if t.Failed() {
			t.Logf("the browser printed:\n%s", output.String())
		}
	})
	return b
}

// listen deals out what the browser says until it has ended.
func (b *browser) listen(events io.Reader) {
	in := bufio.NewReader(events)
	for {
		text, err := in.ReadBytes(0)
		var m devtools
		if err == nil {
			err = json.Unmarshal(text[:len(text)-1], &m)
		}
		b.mu.Lock()
		if err != nil {
			b.err = fmt.Errorf("the browser: %w", err)
			for _, to := range b.waiting {
				close(to)
			}
			b.mu.Unlock()
			return
		}
		var key any = m.ID
		if m.ID == 0 {
			key = awaited{m.SessionID, m.Method}
		}
		to := b.waiting[key]
		delete(b.waiting, key)
		b.mu.Unlock()
		if to != nil {
			to <- m
		}
	}
}

// await says where a message of that key is to go.
func (b *browser) await(key any) chan devtools {
	to := make(chan devtools, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		close(to)
	} else {
		b.waiting[key] = to
	}
	return to
}

// take waits for what await has announced.
func (b *browser) take(from chan devtools, what string) (devtools, error) {
	select {
	case m, ok := <-from:
		if !ok {
			return m, b.err
		}
		if m.Error != nil {
			return m, fmt.Errorf("%s: %s", what, m.Error.Message)
		}
		return m, nil
	case <-time.After(patience):
		return devtools{}, fmt.Errorf("%s: no answer within %v", what, patience)
	}
}

// command has the browser, or a tab of it, do something. The answer goes to result, if that is not nil.
func (b *browser) command(session, method string, params map[string]any, result any) error {
	b.mu.Lock()
	b.last++
	id := b.last
	b.mu.Unlock()
	from := b.await(id)
	text, err := json.Marshal(devtools{ID: id, SessionID: session, Method: method, Params: params})
	if err != nil {
		return err
	}
	if _, err := b.commands.Write(append(text, 0)); err != nil {
		return err
	}
	m, err := b.take(from, method)
	if err != nil || result == nil {
		return err
	}
	return json.Unmarshal(m.Result, result)
}

// tab is a page that the browser shows.
type tab struct {
	t       *testing.T
	b       *browser
	target  string
	session string
}

// open shows a page in a tab of its own and returns when it has loaded. What goes wrong with it later fails t.
func (b *browser) open(t *testing.T, url string) *tab {
	t.Helper()
	var target struct{ TargetID string }
	if err := b.command("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target); err != nil {
		t.Fatal(err)
	}
	var attached struct{ SessionID string }
	if err := b.command("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true},
		&attached); err != nil {
		t.Fatal(err)
	}
	page := &tab{t, b, target.TargetID, attached.SessionID}
	loaded := b.await(awaited{page.session, "Page.loadEventFired"})
	var navigated struct{ ErrorText string }
	err := errors.Join(
		b.command(page.session, "Page.enable", nil, nil),
		b.command(page.session, "Page.navigate", map[string]any{"url": url}, &navigated))
	if err == nil && navigated.ErrorText != "" {
		err = errors.New(navigated.ErrorText)
	}
	if err == nil {
		_, err = b.take(loaded, "loading "+url)
	}
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// close closes the tab.
func (p *tab) close() {
	p.t.Helper()
	if err := p.b.command("", "Target.closeTarget", map[string]any{"targetId": p.target}, nil); err != nil {
		p.t.Fatal(err)
	}
}

// eval runs JavaScript in the page. The value of the expression, or what its promise gives, goes to result.
func (p *tab) eval(expression string, result any) {
	p.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	err := p.b.command(p.session, "Runtime.evaluate", map[string]any{
		"expression": expression, "awaitPromise": true, "returnByValue": true,
	}, &answer)
	if err == nil && answer.ExceptionDetails != nil {
		err = errors.New(answer.ExceptionDetails.Text + " " + answer.ExceptionDetails.Exception.Description)
	}
	if err == nil && result != nil {
		err = json.Unmarshal(answer.Result.Value, result)
	}
	if err != nil {
		p.t.Fatalf("%.200s: %v", expression, err)
	}
}

// quoted is a string as JavaScript writes it.
func quoted(s string) string {
	text, _ := json.Marshal(s) // strings can be written
	return string(text)
}

// enter types text into the element that a selector finds, and presses Enter.
func (p *tab) enter(selector, text string) {
	p.t.Helper()
	p.eval(`document.querySelector(`+quoted(selector)+`).focus()`, nil)
	key := map[string]any{"type": "keyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
	err := errors.Join(
		p.b.command(p.session, "Input.insertText", map[string]any{"text": text}, nil),
		p.b.command(p.session, "Input.dispatchKeyEvent", key, nil))
	if err != nil {
		p.t.Fatal(err)
	}
}

// waitFor returns when the page shows a text.
func (p *tab) waitFor(text string) {
	p.t.Helper()
	p.eval(`new Promise(done => {
		const look = () => { if (document.body.innerText.includes(`+quoted(text)+`)) { watch.disconnect(); done(true); } };
		const watch = new MutationObserver(look);
		watch.observe(document.body, { subtree: true, childList: true, characterData: true });
		look();
	})`, nil)
}
