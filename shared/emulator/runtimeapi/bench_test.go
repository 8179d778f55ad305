package runtimeapi_test

import (
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/runtimeapi"
)

var (
	binaries  = flag.String("binaries", "", "built functions that BenchmarkColdStart compares, separated by commas")
	variables = flag.String("variables", "", "their environment variables as NAME=value, separated by commas")
)

// BenchmarkColdStart measures the time from the start of a process to its first "next",
// the median in milliseconds, of builds that it starts in turn. Without -binaries they
// are the tests' own function and an empty one. To compare others:
//
//	go test -run=^$ -bench=ColdStart -benchtime=200x ./shared/emulator/runtimeapi -args -binaries=$PWD/one/bootstrap,$PWD/two/bootstrap
func BenchmarkColdStart(b *testing.B) {
	paths := []string{program}
	if *binaries != "" {
		paths = strings.Split(*binaries, ",")
	} else if empty, err := build(b.TempDir(), "./testdata/empty"); err != nil {
		b.Fatal(err)
	} else {
		paths = append(paths, empty)
	}
	functions := make([]*runtimeapi.Function, len(paths))
	for i, path := range paths {
		functions[i] = benchmarked(b, path, nil)
	}
	took := make([][]time.Duration, len(paths))
	for b.Loop() {
		for i, f := range functions {
			d, err := f.ColdStart(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			took[i] = append(took[i], d)
		}
	}
	for i, path := range paths {
		slices.Sort(took[i])
		median := took[i][len(took[i])/2]
		name := fmt.Sprintf("ms/%d-%s", i+1, filepath.Base(filepath.Dir(path)))
		b.ReportMetric(float64(median)/float64(time.Millisecond), name)
	}
}

func BenchmarkWarm(b *testing.B) {
	for name, log := range map[string]io.Writer{"silent": nil, "with a log": io.Discard} {
		b.Run(name, func(b *testing.B) {
			f := benchmarked(b, program, log)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Invoke(b.Context(), emulator.Invocation{Event: emulator.RawEvent("{}")}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchmarked(b *testing.B, binary string, log io.Writer) *runtimeapi.Function {
	b.Helper()
	c := runtimeapi.Config{
		Function: described(), Binary: binary, Log: log, Region: "eu-central-1",
		Credentials: runtimeapi.Credentials{AccessKeyID: "test", SecretAccessKey: "test"},
	}
	for variable := range strings.SplitSeq(*variables, ",") {
		if name, value, ok := strings.Cut(variable, "="); ok {
			c.Environment[name] = value
		}
	}
	f, err := runtimeapi.New(c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close(ended()) })
	return f
}
