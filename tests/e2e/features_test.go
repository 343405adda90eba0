//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/features.md says of each feature which test proves it: there is no feature without one, and none of them is only
// made up.
func TestFeaturesAreProved(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root, "docs/features.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z0-9_/]+)\\.((?:Test|Example|Benchmark|Fuzz)\\w*)`")
	sources := map[string]string{} // of each package's tests
	proofs := 0
	for i, line := range strings.Split(string(content), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasSuffix(line, "| proved by |") {
			continue
		}
		proved := named.FindAllStringSubmatch(line, -1)
		if len(proved) == 0 {
			t.Errorf("docs/features.md:%d names no test: %s", i+1, line)
		}
		for _, proof := range proved {
			folder, name := proof[1], proof[2]
			if _, known := sources[folder]; !known {
				sources[folder] = testSources(t, folder)
			}
			if !regexp.MustCompile(`(?m)^func ` + name + `\(`).MatchString(sources[folder]) {
				t.Errorf("docs/features.md:%d: there is no %s in %s", i+1, name, folder)
			}
			proofs++
		}
	}
	if proofs == 0 {
		t.Error("no test is named at all: does this test still read the table?")
	}
}

// testSources is the text of all tests in a folder.
func testSources(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(content)
	}
	return all.String()
}
