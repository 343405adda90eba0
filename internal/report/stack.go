package report

import (
	"fmt"
	"runtime"
	"strings"
)

// stackDepth is how many calls Stack tells of.
const stackDepth = 64

// Stack is where the goroutine is that calls it, the innermost call first, two lines each like those of
// runtime/debug.Stack. Unlike that, it takes no longer on a stack that is thousands of calls deep.
func Stack() string {
	var calls [stackDepth]uintptr
	frames := runtime.CallersFrames(calls[:runtime.Callers(2, calls[:])])
	var text strings.Builder
	for {
		frame, more := frames.Next()
		fmt.Fprintf(&text, "%s\n\t%s:%d\n", frame.Function, frame.File, frame.Line)
		if !more {
			return text.String()
		}
	}
}
