package main

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable is received bytes as text that cannot play tricks on a terminal: control characters, and bytes that are not
// UTF-8, become dots.
func printable(line []byte) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '.'
		}
		return r
	}, string(line))
}

// nameable tells whether name can be somebody's.
func nameable(name string) bool {
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_' {
			return false
		}
	}
	return name != "" && utf8.RuneCountInString(name) <= maxName
}
