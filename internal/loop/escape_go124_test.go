//go:build go1.24

package loop

// noescape: cgo is told that arguments of the core's functions do not escape.
const noescape = true
