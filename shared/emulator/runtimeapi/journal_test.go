package runtimeapi_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"paylane/shared/emulator/runtimeapi"
)

// numbers matches what differs each time.
func numbers(log string) string {
	for pattern, with := range map[string]string{
		`\d+\.\d\d ms`: "N ms", `Billed Duration: \d+ ms`: "Billed Duration: N ms", `Used: [1-9]\d* MB`: "Used: N MB",
	} {
		log = regexp.MustCompile(pattern).ReplaceAllString(log, with)
	}
	return strings.ReplaceAll(log, requestID, "ID")
}

// unprefixed returns the lines of a log without the function's name, which each must have.
func unprefixed(t *testing.T, log string) []string {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
	for i, line := range lines {
		text, ok := strings.CutPrefix(line, "f | ")
		if !ok {
			t.Errorf("a line has no prefix: %.100s", line)
		}
		lines[i] = text
	}
	return lines
}

func TestLog(t *testing.T) {
	f := start(t)
	f.must(do{Do: "print", Text: "one\n\ntwo\x00three"})
	f.must(do{Do: "print", Text: strings.Repeat("x", 300*1024)})
	f.fails(do{Do: "exit", Size: 1})
	f.close()
	const report = "REPORT RequestId: ID\tDuration: N ms\tBilled Duration: N ms\tMemory Size: 128 MB\tMax Memory Used: N MB\t"
	diff(t, "log", []string{
		"START RequestId: ID Version: $LATEST", "one", "", "two", "three", "not ended",
		"END RequestId: ID", report + "Init Duration: N ms\t",
		"START RequestId: ID Version: $LATEST", strings.Repeat("x", 256*1024), strings.Repeat("x", 44*1024), "not ended",
		"END RequestId: ID", report,
		"START RequestId: ID Version: $LATEST", "END RequestId: ID",
		report + "Status: error\tError Type: Runtime.ExitError",
		"RequestId: ID Error: Runtime exited with error: exit status 1",
	}, unprefixed(t, numbers(f.log.String())))
}

// TestQuietLog: unless it is verbose, the log is what the function writes, and nothing else.
func TestQuietLog(t *testing.T) {
	f := start(t, func(c *runtimeapi.Config) { c.Verbose = false })
	f.must(do{Do: "print", Text: "one"})
	f.fails(do{Do: "exit", Size: 1})
	f.close()
	diff(t, "log", []string{"one", "not ended"}, unprefixed(t, f.log.String()))
}

func TestLogOfTimeout(t *testing.T) {
	t.Parallel()
	f := start(t, timeout(300*time.Millisecond))
	f.fails(do{Do: "sleep"})
	log := f.log.wait(t, "timed out")
	if !strings.HasSuffix(numbers(log), "\tStatus: timeout\nf | RequestId: ID Error: Task timed out after 0.30 seconds\n") {
		t.Errorf("the log is\n%s", log)
	}
	if !strings.Contains(log, "\tDuration: 300.00 ms\t") {
		t.Errorf("the log is\n%s", log)
	}
}

// A handler's error is logged by aws-lambda-go, and not again by the platform.
func TestLogOfError(t *testing.T) {
	f := start(t)
	f.fails(do{Do: "fail"})
	f.close()
	log := f.log.String()
	diff(t, "times that it is said", 1, strings.Count(log, "boom"))
	if strings.Contains(log, "Status:") {
		t.Errorf("the log is\n%s", log)
	}
}
