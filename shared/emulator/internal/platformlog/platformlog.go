// Package platformlog has the lines that Lambda itself writes to a function's log at each invocation,
// in Lambda's format ("Monitoring Lambda functions": the fields of a REPORT are separated by tabs).
package platformlog

import (
	"fmt"
	"math"
	"strings"
	"time"

	"paylane/shared/emulator/internal/aws"
)

// Separator follows the function's name, before each line of functions that share a log.
const Separator = " | "

// Start returns the line before anything that the function writes.
func Start(requestID string) string {
	return "START RequestId: " + requestID + " Version: " + aws.Version
}

// End returns the line after everything that the function writes.
func End(requestID string) string { return "END RequestId: " + requestID }

// Report is the last line of an invocation.
type Report struct {
	RequestID string
	Took      time.Duration
	// Init is how long the init took that came before; 0 is left out.
	Init     time.Duration
	MemoryMB int
	// MaxMemoryMB is the most that was used; 0 is not known, and left out.
	MaxMemoryMB int
	// Failure is the type of the error if the platform ended the invocation; empty if the
	// function did, with or without an error.
	Failure string
}

// String returns the line.
func (r Report) String() string {
	fields := []string{
		"REPORT RequestId: " + r.RequestID,
		fmt.Sprintf("Duration: %.2f ms", milliseconds(r.Took)),
		// Lambda bills the init too, by the millisecond that has begun.
		fmt.Sprintf("Billed Duration: %.0f ms", math.Ceil(milliseconds(r.Took+r.Init))),
		fmt.Sprintf("Memory Size: %d MB", r.MemoryMB),
	}
	if r.MaxMemoryMB > 0 {
		fields = append(fields, fmt.Sprintf("Max Memory Used: %d MB", r.MaxMemoryMB))
	}
	if r.Init > 0 {
		fields = append(fields, fmt.Sprintf("Init Duration: %.2f ms", milliseconds(r.Init)))
	}
	switch r.Failure {
	case "":
		fields = append(fields, "") // the line ends with a tab
	case "Sandbox.Timedout":
		fields = append(fields, "Status: timeout")
	default:
		fields = append(fields, "Status: error", "Error Type: "+r.Failure)
	}
	return strings.Join(fields, "\t")
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
